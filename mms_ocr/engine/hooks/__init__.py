"""Hooks."""

from mms_ocr.engine.hooks.reconstruction_hook import ReconstructionHook

__all__ = ["ReconstructionHook"]
