# Every image gets all three strategies, one view each: three times the work of an iteration.
_base_ = "../pretrain_vit_s.py"

model = dict(data_preprocessor=dict(mask_generator=dict(mode="joint")))
