# The smallest: convolutions down to a grid of 4×32, in patches of 8×4 pixels.
_base_ = "./mms.py"

model = dict(
    data_preprocessor=dict(mask_generator=dict(grid=(4, 32))),
    backbone=dict(arch="nano", patch_size=(8, 4), stem="conv"),
    neck=dict(decoder_embed_dim=128, decoder_depth=2, decoder_num_heads=4),
)
