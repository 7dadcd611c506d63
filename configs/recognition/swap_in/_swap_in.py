# What all swap-ins share: words rendered on the fly, a schedule, and what a run keeps.
_base_ = [
    "../../_base_/datasets/rec_rendered.py",
    "../../_base_/schedules/rec_finetune.py",
    "../../_base_/rec_runtime.py",
]

# MMOCR's configs name their types without a scope.
default_scope = "mmocr"
