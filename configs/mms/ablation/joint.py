# Every image gets all three strategies, one view each: an iteration costs three times as much.
_base_ = "../pretrain_vit_s.py"

model = dict(data_preprocessor=dict(mask_generator=dict(mode="joint")))
