# fp16 with a loss scale, for GPUs without bf16 (before Ampere).
_base_ = "./pretrain_vit_s.py"

optim_wrapper = dict(type="mms_ocr.Fp16OptimWrapper")
