"""What runs a training: loops, hooks, optimizer wrappers, schedules."""

from mms_ocr.engine.hooks import (
    AtomicCheckpointHook,
    ComparisonHook,
    CompileHook,
    ExactResumeHook,
    ReconstructionHook,
    SkipNonFiniteHook,
    StopOnSignalHook,
    VisualizationHook,
    WatchdogHook,
)
from mms_ocr.engine.layer_decay import LayerDecayOptimWrapperConstructor
from mms_ocr.engine.loops import ResumableEpochLoop, ResumableTrainLoop
from mms_ocr.engine.optim_wrapper import Bf16OptimWrapper, Fp16OptimWrapper
from mms_ocr.engine.schedule import set_epochs, set_iterations

__all__ = [
    "AtomicCheckpointHook",
    "Bf16OptimWrapper",
    "ComparisonHook",
    "CompileHook",
    "ExactResumeHook",
    "Fp16OptimWrapper",
    "LayerDecayOptimWrapperConstructor",
    "ReconstructionHook",
    "ResumableEpochLoop",
    "ResumableTrainLoop",
    "SkipNonFiniteHook",
    "StopOnSignalHook",
    "VisualizationHook",
    "WatchdogHook",
    "set_epochs",
    "set_iterations",
]
