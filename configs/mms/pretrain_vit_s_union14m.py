_base_ = [
    "../_base_/models/mms.py",
    "../_base_/datasets/union14m_u.py",
    "../_base_/schedules/pretrain.py",
    "../_base_/pretrain_runtime.py",
]
