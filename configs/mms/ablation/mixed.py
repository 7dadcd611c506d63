# Every image gets one of the three strategies.
_base_ = "../pretrain_vit_s.py"

model = dict(data_preprocessor=dict(mask_generator=dict(mode="mixed")))
