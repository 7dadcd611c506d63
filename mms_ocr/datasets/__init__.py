"""Word images: sources, data sets and their transforms.

Names are imported on first use, since the sources, which need neither torch nor MMEngine, are used
without them too.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mms_ocr.datasets import transforms
    from mms_ocr.datasets.benchmark import BenchmarkDataset
    from mms_ocr.datasets.loading import collate_words, start_worker
    from mms_ocr.datasets.mixed import MixedDataset
    from mms_ocr.datasets.rendered_words import RenderedWordDataset
    from mms_ocr.datasets.samplers import EndlessSampler
    from mms_ocr.datasets.seeded import SeededDataset
    from mms_ocr.datasets.sources import open_source
    from mms_ocr.datasets.word_images import WordImageDataset
    from mms_ocr.datasets.word_masks import TextSegDataset, WordMaskDataset
    from mms_ocr.datasets.word_pairs import TextZoomDataset, WordPairDataset
    from mms_ocr.utils.decoding import decode_image

_MODULES = {
    "BenchmarkDataset": "datasets.benchmark",
    "EndlessSampler": "datasets.samplers",
    "MixedDataset": "datasets.mixed",
    "RenderedWordDataset": "datasets.rendered_words",
    "SeededDataset": "datasets.seeded",
    "TextSegDataset": "datasets.word_masks",
    "TextZoomDataset": "datasets.word_pairs",
    "WordImageDataset": "datasets.word_images",
    "WordMaskDataset": "datasets.word_masks",
    "WordPairDataset": "datasets.word_pairs",
    "collate_words": "datasets.loading",
    "decode_image": "utils.decoding",
    "open_source": "datasets.sources",
    "start_worker": "datasets.loading",
}

__all__ = [
    "BenchmarkDataset",
    "EndlessSampler",
    "MixedDataset",
    "RenderedWordDataset",
    "SeededDataset",
    "TextSegDataset",
    "TextZoomDataset",
    "WordImageDataset",
    "WordMaskDataset",
    "WordPairDataset",
    "collate_words",
    "decode_image",
    "open_source",
    "start_worker",
    "transforms",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"mms_ocr.{_MODULES[name]}"), name)
    if name == "transforms":
        return import_module("mms_ocr.datasets.transforms")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
