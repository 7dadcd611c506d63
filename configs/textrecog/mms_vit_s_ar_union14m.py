_base_ = [
    "../_base_/models/rec_ar.py",
    "../_base_/datasets/rec_union14m.py",
    "../_base_/schedules/rec_finetune.py",
    "../_base_/rec_runtime.py",
]
