"""From crops of your own to a better reader, with ``mms-ocr adapt``."""

from mms_ocr.apis.adaptation.adapting import adapt

__all__ = ["adapt"]
