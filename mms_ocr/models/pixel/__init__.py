"""Images out of the encoder: cutting text out of its background and sharpening it."""

from mms_ocr.models.pixel.decoder import PixelDecoder

__all__ = ["PixelDecoder"]
