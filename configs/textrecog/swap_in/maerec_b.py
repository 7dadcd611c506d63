_base_ = "./maerec_s.py"

model = dict(
    backbone=dict(arch="base"),
    decoder=dict(d_model=768, d_embedding=768, d_k=96, d_v=96, d_inner=3072),
)
