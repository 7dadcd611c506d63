"""Super-resolution of word images, with ``mms-ocr upscale``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mms_ocr.apis.inference import WordInferencer
from mms_ocr.apis.input_images import InputImage
from mms_ocr.apis.tasks import SUPER_RESOLUTION
from mms_ocr.utils.files import write_image
from mms_ocr.utils.resizing import resize_word_image

SCALE = 2


@dataclass(frozen=True)
class UpscaledWord:
    """Word image and its super-resolved version."""

    name: str
    image: np.ndarray  #: uint8 BGR (H, W, 3)
    network_image: np.ndarray  #: output of the network, uint8 BGR (32, 128, 3) for any shape
    shrunk: bool  #: whether the image is larger than the network's input, 16 x 64

    @property
    def upscaled(self) -> np.ndarray:
        """The network's output at twice the size of the word, uint8 BGR ``(2 H, 2 W, 3)``."""
        size = (SCALE * self.image.shape[0], SCALE * self.image.shape[1])
        if self.network_image.shape[:2] == size:
            return self.network_image
        return resize_word_image(self.network_image, size)


class WordUpscaler(WordInferencer[UpscaledWord]):
    """Doubles the size of word images and sharpens them.

    The network takes 16 x 64 pixels and returns 32 x 128; images of other sizes are resized.
    """

    task = SUPER_RESOLUTION

    def predict(self, images: Sequence[InputImage]) -> list[UpscaledWord]:
        """Upscale a batch."""
        height, width = (side // SCALE for side in self.backend.size)
        return [
            UpscaledWord(
                item.name,
                item.image,
                restored,
                shrunk=item.image.shape[0] > height or item.image.shape[1] > width,
            )
            for item, restored in zip(images, self.backend.predict(images))
        ]


def write_upscaled(word: UpscaledWord, folder: str, stem: str, size: str = "double") -> str:
    """Write the upscaled word as PNG in an existing folder, and return the path.

    ``size`` is ``'double'`` for twice that of the input, ``'network'`` for that of the network.
    Raises ValueError if the file is the word's own image.
    """
    path = f"{folder}/{stem}.png"
    picture = word.upscaled if size == "double" else word.network_image
    write_image(path, picture, source=word.name)
    return path
