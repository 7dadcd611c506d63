_base_ = "./rec_ctc.py"

model = dict(backbone=dict(arch="small"), decoder=dict(in_channels=384))
