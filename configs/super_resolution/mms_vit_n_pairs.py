_base_ = [
    "../_base_/models/sr_vit_n.py",
    "../_base_/datasets/sr_pairs.py",
    "../_base_/schedules/pixel.py",
    "../_base_/sr_runtime.py",
]
