_base_ = [
    "../_base_/models/seg_vit_n.py",
    "../_base_/datasets/seg_textseg.py",
    "../_base_/schedules/pixel.py",
    "../_base_/seg_runtime.py",
]
