_base_ = "./sr.py"

model = dict(backbone=dict(arch="small"))
