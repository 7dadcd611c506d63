# Pretraining keeps the best checkpoint by masked error, and draws reconstructions.
_base_ = "./runtime.py"

default_hooks = dict(checkpoint=dict(save_best="masked_error/mean", rule="less"))
custom_hooks = [dict(type="mms_ocr.ReconstructionHook", num_images=8)]
