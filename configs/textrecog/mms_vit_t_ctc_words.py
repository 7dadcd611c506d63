_base_ = "./mms_vit_s_ctc_words.py"

model = dict(backbone=dict(arch="tiny"), decoder=dict(in_channels=192))
