_base_ = "./mms_vit_s_ctc_words.py"

model = dict(backbone=dict(arch="base"), decoder=dict(in_channels=768))
