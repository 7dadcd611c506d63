"""Super-resolution of word images, with ``mms-ocr upscale``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mms_ocr.apis.inference import WordInferencer, stack_images
from mms_ocr.apis.input_images import InputImage
from mms_ocr.apis.trained_models import SUPER_RESOLUTION
from mms_ocr.datasets.transforms import resize_word_image
from mms_ocr.utils.files import write_image

SCALE = 2


@dataclass(frozen=True)
class UpscaledWord:
    """Word image and its super-resolved version.

    Attributes:
        name: Name of the image.
        image: The input, uint8 BGR ``(H, W, 3)``.
        network_image: Output of the network, uint8 BGR ``(32, 128, 3)`` for words of any shape.
        shrunk: Whether the image is larger than the network's input, 16 x 64, and lost detail.
    """

    name: str
    image: np.ndarray
    network_image: np.ndarray
    shrunk: bool

    @property
    def upscaled(self) -> np.ndarray:
        """The network's output at twice the size of the word, uint8 BGR ``(2 H, 2 W, 3)``."""
        size = (SCALE * self.image.shape[0], SCALE * self.image.shape[1])
        if self.network_image.shape[:2] == size:
            return self.network_image
        return resize_word_image(self.network_image, size)


class WordUpscaler(WordInferencer):
    """Doubles the size of word images and sharpens them.

    The network takes 16 x 64 pixels and returns 32 x 128; images of other sizes are resized.
    """

    task = SUPER_RESOLUTION

    def predict(self, images: Sequence[InputImage]) -> list[UpscaledWord]:
        """Upscale a batch."""
        height, width = (side // SCALE for side in self.model.size)
        inputs = stack_images(images, (height, width))
        words = []
        for item, sample in zip(images, self.model.test_step(dict(inputs=inputs))):
            rgb = (sample.pred_img * 255).round().byte().permute(1, 2, 0).numpy()
            shrunk = item.image.shape[0] > height or item.image.shape[1] > width
            bgr = np.ascontiguousarray(rgb[:, :, ::-1])
            words.append(UpscaledWord(item.name, item.image, bgr, shrunk))
        return words


def write_upscaled(word: UpscaledWord, folder: str, stem: str, size: str = "double") -> str:
    """Write the upscaled word as PNG in an existing folder, and return the path.

    ``size`` is ``'double'`` for twice that of the input, ``'network'`` for that of the network.

    Raises:
        ValueError: The file is the word's own image.
        OSError: It cannot be written.
    """
    path = f"{folder}/{stem}.png"
    picture = word.upscaled if size == "double" else word.network_image
    write_image(path, picture, source=word.name)
    return path
