"""What runs a training: hooks, optimiser wrappers, schedules."""

from mms_ocr.engine.hooks import ComparisonHook, ReconstructionHook
from mms_ocr.engine.layer_decay import LayerDecayOptimWrapperConstructor
from mms_ocr.engine.optim_wrapper import Bf16OptimWrapper
from mms_ocr.engine.schedule import set_iterations

__all__ = [
    "Bf16OptimWrapper",
    "ComparisonHook",
    "LayerDecayOptimWrapperConstructor",
    "ReconstructionHook",
    "set_iterations",
]
