"""Word images: sources, data sets and their transforms."""

from mms_ocr.datasets import transforms
from mms_ocr.datasets.benchmark import BenchmarkDataset
from mms_ocr.datasets.mixed import MixedDataset
from mms_ocr.datasets.rendered_words import RenderedWordDataset
from mms_ocr.datasets.samplers import EndlessSampler
from mms_ocr.datasets.seeded import SeededDataset
from mms_ocr.datasets.sources import open_source
from mms_ocr.datasets.textseg import TextSegDataset
from mms_ocr.datasets.textzoom import TextZoomDataset
from mms_ocr.datasets.word_batches import WordBatch, collate_words, read_batch
from mms_ocr.datasets.word_images import WordImageDataset
from mms_ocr.datasets.word_masks import WordMaskDataset
from mms_ocr.datasets.word_pairs import WordPairDataset
from mms_ocr.datasets.workers import start_worker
from mms_ocr.utils.decoding import decode_image

__all__ = [
    "BenchmarkDataset",
    "EndlessSampler",
    "MixedDataset",
    "RenderedWordDataset",
    "SeededDataset",
    "TextSegDataset",
    "TextZoomDataset",
    "WordBatch",
    "WordImageDataset",
    "WordMaskDataset",
    "WordPairDataset",
    "collate_words",
    "decode_image",
    "open_source",
    "read_batch",
    "start_worker",
    "transforms",
]
