# Blocks only.
_base_ = "../pretrain_vit_s.py"

model = dict(data_preprocessor=dict(mask_generator=dict(weights=[0, 1, 0])))
