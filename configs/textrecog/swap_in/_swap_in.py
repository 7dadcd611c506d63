# Shared by all swap-ins: rendered words, schedule and runtime.
_base_ = [
    "../../_base_/datasets/rec_rendered.py",
    "../../_base_/schedules/rec_finetune.py",
    "../../_base_/rec_runtime.py",
]

# The import is for MMOCR's own tools. MMOCR's configs write types without a scope.
custom_imports = dict(imports=["mms_ocr"])
default_scope = "mmocr"
