# The decoder is as wide as the encoder.
_base_ = "./mms_vit_s_sr_words.py"

model = dict(backbone=dict(arch="tiny"), decoder=dict(decoder_embed_dim=192))
