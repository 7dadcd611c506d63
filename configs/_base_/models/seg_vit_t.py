# A decoder as wide as the encoder.
_base_ = "./seg_vit.py"

model = dict(backbone=dict(arch="tiny"), decoder=dict(decoder_embed_dim=192))
