"""Hooks."""

from mms_ocr.engine.hooks.comparison_hook import ComparisonHook
from mms_ocr.engine.hooks.reconstruction_hook import ReconstructionHook

__all__ = ["ComparisonHook", "ReconstructionHook"]
