_base_ = "./seg_vit.py"

model = dict(backbone=dict(arch="small"))
