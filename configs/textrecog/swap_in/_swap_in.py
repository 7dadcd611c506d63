# What all swap-ins share: words rendered on the fly, a schedule, and what a run keeps.
_base_ = [
    "../../_base_/datasets/rec_rendered.py",
    "../../_base_/schedules/rec_finetune.py",
    "../../_base_/rec_runtime.py",
]

# For MMOCR's own tools; those here need no import. Its configs name their types without a scope.
custom_imports = dict(imports=["mms_ocr"])
default_scope = "mmocr"
