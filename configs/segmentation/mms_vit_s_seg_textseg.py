_base_ = [
    "../_base_/models/seg.py",
    "../_base_/datasets/seg_textseg.py",
    "../_base_/schedules/pixel.py",
    "../_base_/seg_runtime.py",
]
