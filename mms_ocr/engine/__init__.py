"""What runs a training: loops, hooks, optimizer wrappers, schedules."""

from mms_ocr.engine.hooks.checkpoint_hook import AtomicCheckpointHook
from mms_ocr.engine.hooks.compile_hook import CompileHook
from mms_ocr.engine.hooks.exact_resume_hook import ExactResumeHook
from mms_ocr.engine.hooks.non_finite_hook import SkipNonFiniteHook
from mms_ocr.engine.hooks.picture_hooks import ComparisonHook, ReconstructionHook
from mms_ocr.engine.hooks.stop_hook import StopOnSignalHook
from mms_ocr.engine.hooks.visualization_hook import VisualizationHook
from mms_ocr.engine.hooks.watchdog_hook import WatchdogHook
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
