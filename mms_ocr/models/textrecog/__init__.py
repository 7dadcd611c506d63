"""Text decoders and losses for MMOCR's recognizers; only these models need MMOCR."""

from mms_ocr.models.textrecog.ctc import ctc_word_confidences, pool_rows, read_columns
from mms_ocr.models.textrecog.ctc_decoder import CTCDecoder
from mms_ocr.models.textrecog.decoding import decoding_step, greedy_decode, word_confidences
from mms_ocr.models.textrecog.located_ctc_loss import LocatedCTCLoss, column_targets
from mms_ocr.models.textrecog.text_decoder import TextDecoder

__all__ = [
    "CTCDecoder",
    "LocatedCTCLoss",
    "TextDecoder",
    "column_targets",
    "ctc_word_confidences",
    "decoding_step",
    "greedy_decode",
    "pool_rows",
    "read_columns",
    "word_confidences",
]
