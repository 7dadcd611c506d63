# The decoder is as wide as the encoder.
_base_ = "./mms_vit_s_sr_words.py"

model = dict(
    backbone=dict(arch="nano", patch_size=(8, 4), stem="conv"),
    decoder=dict(decoder_embed_dim=128, decoder_depth=2, decoder_num_heads=4, refine_channels=32),
)
