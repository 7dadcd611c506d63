"""Hooks."""

from mms_ocr.engine.hooks.checkpoint_hook import AtomicCheckpointHook
from mms_ocr.engine.hooks.compile_hook import CompileHook
from mms_ocr.engine.hooks.exact_resume_hook import ExactResumeHook
from mms_ocr.engine.hooks.non_finite_hook import SkipNonFiniteHook
from mms_ocr.engine.hooks.picture_hooks import ComparisonHook, ReconstructionHook
from mms_ocr.engine.hooks.stop_hook import StopOnSignalHook
from mms_ocr.engine.hooks.visualization_hook import VisualizationHook
from mms_ocr.engine.hooks.watchdog_hook import WatchdogHook

__all__ = [
    "AtomicCheckpointHook",
    "ComparisonHook",
    "CompileHook",
    "ExactResumeHook",
    "ReconstructionHook",
    "SkipNonFiniteHook",
    "StopOnSignalHook",
    "VisualizationHook",
    "WatchdogHook",
]
