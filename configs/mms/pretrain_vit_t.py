_base_ = "./pretrain_vit_s.py"

model = dict(backbone=dict(arch="tiny"))
