# The decoder is as wide as the encoder, and attends to one token for every column of the map.
_base_ = "./mms_vit_s_ar_words.py"

model = dict(
    backbone=dict(arch="nano", patch_size=(8, 4), stem="conv", drop_path_rate=0.0),
    decoder=dict(
        n_layers=2,
        d_model=128,
        d_embedding=128,
        n_head=4,
        d_k=32,
        d_v=32,
        d_inner=512,
        columns=dict(num_rows=4),
        auxiliary=dict(pooling="mean", num_rows=None),
    ),
)
