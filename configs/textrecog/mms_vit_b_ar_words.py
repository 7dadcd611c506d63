_base_ = "./mms_vit_s_ar_words.py"

model = dict(backbone=dict(arch="base"), decoder=dict(d_input=768))
