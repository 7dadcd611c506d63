_base_ = "./rec_ar.py"

model = dict(backbone=dict(arch="small"))
