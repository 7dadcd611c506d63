_base_ = "./mms.py"

model = dict(backbone=dict(arch="small"))
