"""A data set of words that are rendered when they are read, without files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mmengine.dataset import Compose
from torch.utils.data import Dataset

from mms_ocr.registry import DATASETS
from mms_ocr.rendering import (
    BackgroundImages,
    FontCollection,
    RenderedWord,
    RenderSettings,
    TextSource,
    WordRenderer,
)

_EXTRAS = ("clean", "mask", "char_boxes")


@DATASETS.register_module()
class RenderedWordDataset(Dataset):
    """Rendered words; the same (seed, index) gives the same word in any worker and process.

    The pipeline gets what labelled images of :class:`~mms_ocr.datasets.WordImageDataset` give, and
    the ``extras``; images are by default 32 to 64 pixels high.

    Args:
        num_samples: Length of the data set.
        pipeline: Transforms or their configs.
        seed: Another seed gives other words; give a validation set a seed of its own.
        fonts: See :class:`mms_ocr.rendering.FontCollection`.
        font_part: ``'train'`` or ``'val'`` keeps the font families of that part.
        font_weights: Weight by font family, 1 by default.
        words: See :class:`mms_ocr.rendering.TextSource`, also for the following.
        random_string_share: Share of the texts that are random characters.
        case: Case of the words.
        words_per_line: Minimum and maximum number of words of one text.
        max_length: Maximum number of characters of a text.
        difficulty: From 0, plain words, to 1, hard for people.
        settings: Single settings of :class:`mms_ocr.rendering.RenderSettings`.
        backgrounds: Folder of images whose crops become backgrounds.
        extras: Any of ``'clean'`` (``(H, W, 3)`` uint8, before light, blur, noise and compression),
            ``'mask'`` (``(H, W)`` uint8, 1 where there is ink) and ``'char_boxes'`` (``(n, 4)``
            float32 ``[x, y, w, h]``).
        metainfo: Facts about the data set, for models and visualizers.

    Raises:
        ValueError: A setting is out of range, or no font can draw the words.
    """

    def __init__(
        self,
        num_samples: int,
        pipeline: Sequence[dict | Callable] = (),
        *,
        seed: int = 0,
        fonts: str | Sequence[str] | None = None,
        font_part: str | None = None,
        font_weights: Mapping[str, float] | None = None,
        words: str | os.PathLike[str] | Iterable[str] | None = None,
        random_string_share: float = 0.3,
        case: str | None = None,
        words_per_line: Sequence[int] = (1, 1),
        max_length: int = 32,
        difficulty: float = 0.5,
        settings: Mapping[str, Any] | None = None,
        backgrounds: str | os.PathLike[str] | None = None,
        extras: Sequence[str] = (),
        metainfo: dict[str, Any] | None = None,
    ) -> None:
        if num_samples < 1:
            raise ValueError(f"num_samples is {num_samples!r}; give at least 1")
        if unknown := set(extras) - set(_EXTRAS):
            raise ValueError(f"extras hold {min(unknown)!r}; there are {', '.join(_EXTRAS)}")
        self.num_samples = int(num_samples)
        self.extras = tuple(extras)
        self.metainfo = dict(metainfo or {})
        self.pipeline = Compose(pipeline)
        self.renderer = WordRenderer(
            FontCollection(fonts, part=font_part, weights=font_weights),
            TextSource(words, random_string_share, case, words_per_line, max_length),
            RenderSettings.at(difficulty, **(settings or {})),
            seed,
            None if backgrounds is None else BackgroundImages(backgrounds),
        )

    def full_init(self) -> None:
        """Do nothing; MMEngine calls it on every data set."""

    def __len__(self) -> int:
        return self.num_samples

    def __getitem__(self, index: int) -> Any:
        packed = self.pipeline(self.load(index))
        if packed is None:
            raise RuntimeError(f"{self.image_name(index)}: the pipeline returned None")
        return packed

    def render(self, index: int) -> RenderedWord:
        """Render the word at ``index`` with its mask, boxes and clean version."""
        return self.renderer.render(self._position(index))

    def load(self, index: int) -> dict[str, Any]:
        """Render the word at ``index`` for the pipeline."""
        word = self.render(index)
        shape = word.image.shape[:2]
        return dict(
            img=word.image,
            img_path=self.image_name(index),
            img_shape=shape,
            ori_shape=shape,
            sample_idx=self._position(index),
            text=word.text,
            **{name: getattr(word, name) for name in self.extras},
        )

    def image_name(self, index: int) -> str:
        """Return ``rendered:{seed}:{index}``."""
        return f"rendered:{self.renderer.seed}:{self._position(index)}"

    def _position(self, index: int) -> int:
        if not -self.num_samples <= index < self.num_samples:
            raise IndexError(f"index {index} outside a data set of {self.num_samples} words")
        return int(index) % self.num_samples
