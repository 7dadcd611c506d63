from .backgrounds import BackgroundImages
from .faces import FontFace
from .fonts import FontCollection
from .renderer import RenderedWord, WordRenderer, generator_for
from .settings import RenderSettings
from .words import TextSource, embedded_words

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
