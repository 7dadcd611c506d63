_base_ = "./rec_ctc.py"

model = dict(backbone=dict(arch="base"), decoder=dict(in_channels=768))
