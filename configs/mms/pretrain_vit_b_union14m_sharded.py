# For several GPUs of little memory: AdamW's states are parted among them (ZeRO, stage 1), and of the
# encoder's layers only the inputs are kept for the backward pass.
_base_ = "./pretrain_vit_b_union14m.py"

optim_wrapper = dict(optimizer=dict(type="mms_ocr.ShardedOptimizer", optimizer_type="AdamW"))
activation_checkpointing = [f"backbone.layers.{layer}" for layer in range(12)]
