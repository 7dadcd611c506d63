from mms_ocr.rendering.backgrounds import BackgroundImages
from mms_ocr.rendering.faces import FontFace
from mms_ocr.rendering.fonts import FontCollection
from mms_ocr.rendering.renderer import RenderedWord, WordRenderer, generator_for
from mms_ocr.rendering.settings import RenderSettings
from mms_ocr.rendering.words import TextSource, embedded_words

__all__ = [
    "BackgroundImages",
    "FontCollection",
    "FontFace",
    "RenderSettings",
    "RenderedWord",
    "TextSource",
    "WordRenderer",
    "embedded_words",
    "generator_for",
]
