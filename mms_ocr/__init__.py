"""Masked pretraining of text encoders for MMOCR.

Importing the package installs the compatibility shims of :mod:`mms_ocr.compat`; it imports neither
torch nor any OpenMMLab package by itself.
"""

import os

if not hasattr(os, "register_at_fork"):
    # The shim no-fork of mms_ocr.compat. Here, because its own imports need it already.
    os.register_at_fork = lambda **hooks: None

from mms_ocr import compat

__version__ = "0.2.0"

compat.install()

__all__ = ["__version__"]
