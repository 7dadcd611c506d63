# For several GPUs of little memory: weights, gradients and AdamW's states are parted among them (FSDP),
# and of the encoder's layers only the inputs are kept for the backward pass.
_base_ = "./pretrain_vit_b_union14m.py"

strategy = dict(type="mms_ocr.FullyShardedStrategy")
activation_checkpointing = [f"backbone.layers.{layer}" for layer in range(12)]
