# Random patches only: MAE's masks.
_base_ = "../pretrain_vit_s.py"

model = dict(data_preprocessor=dict(mask_generator=dict(weights=[1, 0, 0])))
