# The decoder is as wide as the encoder.
_base_ = "./mms_vit_s_ar_words.py"

model = dict(
    backbone=dict(arch="tiny"),
    decoder=dict(d_model=192, d_embedding=192, n_head=4, d_k=48, d_v=48, d_inner=768),
)
