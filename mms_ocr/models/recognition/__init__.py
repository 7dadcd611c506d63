"""Reading text: what MMOCR's recognizers lack. Only this room of the models needs MMOCR."""

from mms_ocr.models.recognition.decoding import decoding_step, greedy_decode, word_confidences
from mms_ocr.models.recognition.text_decoder import TextDecoder

__all__ = ["TextDecoder", "decoding_step", "greedy_decode", "word_confidences"]
