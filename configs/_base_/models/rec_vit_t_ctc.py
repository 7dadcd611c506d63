_base_ = "./rec_ctc.py"

model = dict(backbone=dict(arch="tiny"), decoder=dict(in_channels=192))
