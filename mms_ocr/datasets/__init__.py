"""Word images: sources, data sets and their transforms.

Names are imported on first use, since the sources, which need neither torch nor MMEngine, are used
without them too.
"""

from importlib import import_module
from typing import Any

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

__all__ = [*sorted(_MODULES), "transforms"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"mms_ocr.{_MODULES[name]}"), name)
    if name == "transforms":
        return import_module("mms_ocr.datasets.transforms")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
