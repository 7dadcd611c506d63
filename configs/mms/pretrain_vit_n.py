# The smallest encoder: convolutions down to a grid of 4x32, in patches of 8x4 pixels.
_base_ = "./pretrain_vit_s.py"

model = dict(
    data_preprocessor=dict(mask_generator=dict(grid=(4, 32))),
    backbone=dict(arch="nano", patch_size=(8, 4), stem="conv"),
    neck=dict(decoder_embed_dim=128, decoder_depth=2, decoder_num_heads=4),
)
