"""Word images: sources, data sets and their transforms."""

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
