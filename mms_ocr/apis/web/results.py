"""The models of the page, and what they make of word images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mms_ocr.apis.inference import WordInferencer
from mms_ocr.apis.input_images import InputImage
from mms_ocr.apis.reading import Reading, WordReader
from mms_ocr.apis.segmenting import SegmentedWord, WordSegmenter
from mms_ocr.apis.tasks import PRETRAINING, choose_weights, runnable_weights
from mms_ocr.apis.torch_models import stack_images
from mms_ocr.apis.trained_models import build_trained, load_config
from mms_ocr.apis.upscaling import UpscaledWord, WordUpscaler
from mms_ocr.apis.zoo import read_zoo
from mms_ocr.masking import BlockwiseMask, MaskGenerator, MultiMask, RandomPatchMask, SpanMask
from mms_ocr.utils.bundled import FOLDER, SCHEME
from mms_ocr.utils.devices import usable_device
from mms_ocr.visualization import to_picture

_SINGLE: dict[str, type[MaskGenerator]] = {
    "random patches": RandomPatchMask,
    "blocks": BlockwiseMask,
    "spans": SpanMask,
}
_LABELS = {kind.name: label for label, kind in _SINGLE.items()}
#: Masking strategies of the page; ``mixed`` gives every image one of the others.
STRATEGIES = (*_SINGLE, "mixed")
#: Models of the page, in its order.
KINDS = ("reader", "segmentor", "upscaler", "encoder")


@dataclass(frozen=True)
class MaskedWord:
    """Word image at the size of the encoder, its mask, and what the encoder fills in."""

    name: str
    strategy: str
    image: np.ndarray  # uint8 BGR (H, W, 3), as the next two
    masked: np.ndarray
    filled: np.ndarray
    error: float  # mean squared error on the removed patches, normalized patch by patch


def make_mask_generator(strategy: str, ratio: float, grid: tuple[int, int]) -> MaskGenerator:
    """Make the mask generator of one of ``STRATEGIES``.

    Raises:
        ValueError: The strategy is unknown, or the ratio removes no patch or all.
    """
    if strategy in _SINGLE:
        return _SINGLE[strategy](ratio, grid)
    if strategy != "mixed":
        raise ValueError(f"no strategy {strategy!r}; there are {', '.join(STRATEGIES)}")
    return MultiMask([kind(ratio, grid) for kind in _SINGLE.values()])


class PageModels:
    """Reader, segmentor, upscaler and pretrained encoder.

    Args:
        weights: Weights by kind, of ``KINDS``; those missing or None are the bundled ones.
        device: As for :class:`~mms_ocr.apis.inference.WordInferencer`.

    Raises:
        FileNotFoundError: Weights are missing.
        ValueError: They are of another task or do not fit, or there is no such device.
    """

    def __init__(self, weights: dict[str, str | None] | None = None, device: str | None = None):
        weights = weights or {}
        self.reader = WordReader(weights.get("reader"), device=device)
        self.segmenter = WordSegmenter(weights.get("segmentor"), device=device)
        self.upscaler = WordUpscaler(weights.get("upscaler"), device=device)
        encoder = choose_weights(weights.get("encoder"), PRETRAINING)
        cfg = load_config(None, encoder, PRETRAINING)
        self.encoder: Any = build_trained(cfg, encoder, usable_device(device))
        inferencers: tuple[WordInferencer, ...] = (self.reader, self.segmenter, self.upscaler)
        used = [runnable_weights(weights.get(k), each.task) for k, each in zip(KINDS, inferencers)]
        self.weights = dict(zip(KINDS, [*used, encoder]))

    def read(self, words: Sequence[InputImage]) -> list[Reading]:
        """Read words; a Reading of one that cannot be used has an ``error``."""
        images = list(self.reader.stream([word.image for word in words]))
        return [
            Reading(word.name, read.text, read.confidence, read.error, read.char_confidences)
            for word, read in zip(words, images)
        ]

    def segment(self, words: Sequence[InputImage]) -> list[SegmentedWord]:
        """Find the text pixels of words."""
        return self.segmenter([word.image for word in words])

    def upscale(self, words: Sequence[InputImage]) -> list[UpscaledWord]:
        """Sharpen words."""
        return self.upscaler([word.image for word in words])

    @torch.inference_mode()
    def mask(
        self, words: Sequence[InputImage], strategy: str, ratio: float, seed: int
    ) -> list[MaskedWord]:
        """Mask words, and let the encoder fill in what is removed.

        The same ``seed`` and number of words give the same masks.

        Raises:
            ValueError: The strategy is unknown, or the ratio removes no patch or all.
        """
        model = self.encoder
        generator = make_mask_generator(strategy, ratio, model.backbone.grid)
        if not words:
            return []
        preprocessor = model.data_preprocessor
        batch = stack_images(words, tuple(model.backbone.img_size))
        inputs = preprocessor.normalize(preprocessor.stack(batch))
        rng = torch.Generator().manual_seed(seed)
        masks = generator.views(len(words), inputs.device, rng)
        results = []
        for word, sample in zip(words, model.predict(inputs, None, masks)):
            ((name, error),) = sample.masked_error.items()
            rgb = (sample.image, sample.masked_image[name], sample.reconstruction[name])
            image, masked, filled = (to_picture(part)[:, :, ::-1] for part in rgb)
            results.append(MaskedWord(word.name, _LABELS[name], image, masked, filled, error))
        return results

    def describe(self) -> list[tuple[str, str, str]]:
        """List kind, name and terms of the weights in use."""
        zoo, rows = read_zoo(), []
        for kind, weights in self.weights.items():
            path = Path(weights.removeprefix(SCHEME))
            is_bundled = weights.startswith(SCHEME) or path.parent == FOLDER
            facts = zoo[path.stem]["Metadata"] if is_bundled and path.stem in zoo else {}
            terms = "terms: those of the author of the file"
            if facts:
                size = f"{facts['Parameters'] / 1e6:.1f} M parameters"
                terms = f"{size}; terms of the training data: {facts['Training Data Terms']}"
            rows.append((kind, path.name, terms))
        return rows
