_base_ = "./rec_ar.py"

model = dict(backbone=dict(arch="base"), decoder=dict(d_input=768))
