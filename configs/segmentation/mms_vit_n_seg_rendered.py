# The decoder is as wide as the encoder; every patch of 8x4 pixels gets 16x8 values.
_base_ = "./mms_vit_s_seg_rendered.py"

model = dict(
    backbone=dict(arch="nano", patch_size=(8, 4), stem="conv", drop_path_rate=0.0),
    decoder=dict(
        patch_size=(16, 8),
        decoder_embed_dim=128,
        decoder_depth=2,
        decoder_num_heads=4,
        refine_channels=32,
        refine_scale=2,
    ),
)
