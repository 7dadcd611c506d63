"""Head of masked pretraining: errors and reconstructions of the removed patches."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.utils import to_2tuple
from torch import Tensor

from mms_ocr.models.backbones.patches import (
    gather_tokens,
    normalize_patches,
    patchify,
    unpatchify,
)
from mms_ocr.registry import MODELS

CRITERIA: dict[str, Callable[..., Tensor]] = {"L1": F.l1_loss, "L2": F.mse_loss}


@MODELS.register_module()
class MaskedPixelHead(BaseModule):
    """Error of the pixels of removed patches, as in MAE (arXiv 2111.06377).

    Args:
        patch_size: Side of a patch in pixels, or its height and width.
        norm_pix: Normalize every target patch to zero mean and unit variance.
        criterion: ``'L1'`` or ``'L2'``.

    Raises:
        ValueError: The criterion is unknown.
    """

    def __init__(
        self,
        patch_size: int | tuple[int, int] = 4,
        norm_pix: bool = True,
        criterion: str = "L2",
    ) -> None:
        super().__init__()
        if criterion not in CRITERIA:
            raise ValueError(f"criterion must be 'L1' or 'L2', got {criterion!r}")
        self.patch_size: tuple[int, int] = to_2tuple(patch_size)
        self.norm_pix = norm_pix
        self.criterion = criterion

    def errors(self, pred: Tensor, images: Tensor, predicted: Tensor) -> Tensor:
        """Compute the mean error of every image over its predicted patches, float32 ``(B,)``.

        ``pred`` is ``(B, M, p * q * 3)`` for the patches of indices ``predicted`` ``(B, M)``; the
        images are normalized, ``(B, 3, H, W)``.
        """
        targets = gather_tokens(patchify(images.float(), self.patch_size), predicted)
        if self.norm_pix:
            targets = normalize_patches(targets)[0]
        error = CRITERIA[self.criterion](pred.float(), targets, reduction="none")
        return error.flatten(1).mean(dim=1)

    def reconstruct(self, pred: Tensor, images: Tensor, predicted: Tensor) -> Tensor:
        """Fill in the predicted patches; the arguments are those of :meth:`errors`.

        If patches are normalized, predictions get the mean and contrast of the true patches.
        """
        patches = patchify(images.float(), self.patch_size)
        pred = pred.float()
        if self.norm_pix:
            _, mean, std = normalize_patches(gather_tokens(patches, predicted))
            pred = pred * std + mean
        index = predicted.unsqueeze(-1).expand(-1, -1, patches.shape[-1])
        filled = patches.scatter(1, index, pred)
        height, width = self.patch_size
        grid = (images.shape[-2] // height, images.shape[-1] // width)
        return unpatchify(filled, grid, self.patch_size)
