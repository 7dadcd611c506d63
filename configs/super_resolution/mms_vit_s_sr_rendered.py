_base_ = [
    "../_base_/models/sr.py",
    "../_base_/datasets/sr_rendered.py",
    "../_base_/schedules/pixel.py",
    "../_base_/sr_runtime.py",
]
