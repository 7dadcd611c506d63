"""Registries of scope ``mms_ocr``: children of MMEngine's roots.

A type written ``mms_ocr.X`` resolves from any default scope (mmengine, mmpretrain, mmocr, …): the
registry imports this module by the name of the scope, and then the modules under ``locations``.
"""

from mmengine import registry as root
from mmengine.registry import Registry

__all__ = [
    "DATASETS",
    "DATA_SAMPLERS",
    "FUNCTIONS",
    "HOOKS",
    "LOG_PROCESSORS",
    "LOOPS",
    "METRICS",
    "MODELS",
    "OPTIM_WRAPPERS",
    "OPTIM_WRAPPER_CONSTRUCTORS",
    "PARAM_SCHEDULERS",
    "RUNNERS",
    "TASK_UTILS",
    "TRANSFORMS",
    "VISUALIZERS",
    "WEIGHT_INITIALIZERS",
]


def _child(parent: Registry, *locations: str) -> Registry:
    return Registry(parent.name, parent=parent, scope="mms_ocr", locations=list(locations))


MODELS = _child(root.MODELS, "mms_ocr.models")
WEIGHT_INITIALIZERS = _child(root.WEIGHT_INITIALIZERS, "mms_ocr.models")
TASK_UTILS = _child(root.TASK_UTILS, "mms_ocr.masking")

DATASETS = _child(root.DATASETS, "mms_ocr.datasets")
TRANSFORMS = _child(root.TRANSFORMS, "mms_ocr.datasets")
DATA_SAMPLERS = _child(root.DATA_SAMPLERS, "mms_ocr.datasets")
FUNCTIONS = _child(root.FUNCTIONS, "mms_ocr.datasets")

METRICS = _child(root.METRICS, "mms_ocr.evaluation")

HOOKS = _child(root.HOOKS, "mms_ocr.engine")
LOOPS = _child(root.LOOPS, "mms_ocr.engine")
RUNNERS = _child(root.RUNNERS, "mms_ocr.engine")
LOG_PROCESSORS = _child(root.LOG_PROCESSORS, "mms_ocr.engine")
OPTIM_WRAPPERS = _child(root.OPTIM_WRAPPERS, "mms_ocr.engine")
OPTIM_WRAPPER_CONSTRUCTORS = _child(root.OPTIM_WRAPPER_CONSTRUCTORS, "mms_ocr.engine")
PARAM_SCHEDULERS = _child(root.PARAM_SCHEDULERS, "mms_ocr.engine")

VISUALIZERS = _child(root.VISUALIZERS, "mms_ocr.visualization")
