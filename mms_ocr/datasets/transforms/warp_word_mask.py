"""Warping a word image and its mask in one way."""

from __future__ import annotations

import cv2
import numpy as np

from mms_ocr.datasets.transforms.warp_word import UNIT_CORNERS, WarpWord, warp_word
from mms_ocr.registry import TRANSFORMS

_IGNORED = 255


def warp_mask(mask: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Labels ``(H, W)`` moved as :func:`~.warp_word.warp_word` moves an image.

    A pixel gets the label of the nearest one. What comes in from outside has none, and is 255: the
    image continues its edge there, and nobody knows whether that is text.

    Args:
        mask: uint8 labels ``(H, W)``.
        corners: New places of the corners, ``(4, 2)``, as there.
    """
    height, width = mask.shape
    before = (UNIT_CORNERS * (width, height) - 0.5).astype(np.float32)
    after = (corners * (width, height) - 0.5).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(before, after)
    return cv2.warpPerspective(
        mask,
        matrix,
        (width, height),
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=_IGNORED,
    )


@TRANSFORMS.register_module()
class WarpWordMask(WarpWord):
    """:class:`~mms_ocr.datasets.transforms.WarpWord` for ``img`` and ``mask`` together.

    Put it before the image is resized, while both have one size.

    Args:
        prob: How often a word is warped at all.
        degrees: See :class:`~mms_ocr.datasets.transforms.WarpWord`, also for the others.
        shear: Likewise.
        min_scale: Likewise.
        distortion: Likewise.

    Raises:
        ValueError: A setting is out of range.
    """

    def __init__(
        self,
        prob: float = 0.5,
        degrees: float = 15.0,
        shear: float = 30.0,
        min_scale: float = 0.7,
        distortion: float = 0.3,
    ) -> None:
        super().__init__(degrees, shear, min_scale, distortion)
        if not 0 <= prob <= 1:
            raise ValueError(f"prob of WarpWordMask must lie in [0, 1], got {prob}")
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Warp image and mask in ``results``; their size stays.

        Raises:
            ValueError: They differ in size, as after a resize of the image.
        """
        image, mask = results["img"], results["mask"]
        if image.shape[:2] != mask.shape:
            raise ValueError(
                f"{results.get('img_path', 'an image')}: the image is {image.shape[:2]} and the "
                f"mask {mask.shape}; put WarpWordMask before the image is resized"
            )
        if np.random.random() < self.prob:
            corners = self.draw_corners(mask.shape)
            results["img"] = warp_word(image, corners)
            results["mask"] = warp_mask(mask, corners)
        return results

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, prob={self.prob})"
