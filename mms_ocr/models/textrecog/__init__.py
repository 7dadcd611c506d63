"""Text decoders and losses for MMOCR's recognizers; only these models need MMOCR."""

from mms_ocr.models.textrecog.ctc_decoder import CTCDecoder
from mms_ocr.models.textrecog.located_ctc_loss import LocatedCTCLoss
from mms_ocr.models.textrecog.text_decoder import TextDecoder

__all__ = ["CTCDecoder", "LocatedCTCLoss", "TextDecoder"]
