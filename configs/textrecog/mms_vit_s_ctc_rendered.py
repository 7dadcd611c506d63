_base_ = [
    "../_base_/models/rec_ctc.py",
    "../_base_/datasets/rec_rendered.py",
    "../_base_/schedules/rec_finetune.py",
    "../_base_/rec_runtime.py",
]
