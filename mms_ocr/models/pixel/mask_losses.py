"""Losses of masks: cross-entropy, Dice and squared error on soft targets."""

from __future__ import annotations

from abc import abstractmethod

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from mms_ocr.registry import MODELS


def _mean_over(values: Tensor, valid: Tensor) -> Tensor:
    return (values * valid).sum() / valid.sum().clamp(min=1)


def mask_cross_entropy(logits: Tensor, coverage: Tensor, valid: Tensor) -> Tensor:
    """Compute the binary cross-entropy, the mean over all valid pixels of the batch.

    All are ``(N, 1, H, W)``: ``logits``, whose sigmoid is the predicted share of text in a pixel;
    ``coverage``, the true share, in [0, 1]; and ``valid``, 1 for pixels that count, else 0.
    """
    return _mean_over(F.binary_cross_entropy_with_logits(logits, coverage, reduction="none"), valid)


def mask_squared_error(logits: Tensor, coverage: Tensor, valid: Tensor) -> Tensor:
    """Compute the squared error of the shares; see :func:`mask_cross_entropy`."""
    return _mean_over((logits.sigmoid() - coverage).square(), valid)


def mask_dice(logits: Tensor, coverage: Tensor, valid: Tensor, smooth: float = 1.0) -> Tensor:
    """Compute one minus the soft Dice coefficient, the mean over images.

    With predicted shares p and true ones t, the coefficient is ``(2 * sum(min(p, t)) + smooth) /
    (sum(p) + sum(t) + smooth)``. The usual product p * t has its optimum at shares of 0 and 1 where
    the truth is in between; the minimum has it at the truth, and is equal if t is 0 or 1. The
    other arguments are those of :func:`mask_cross_entropy`.
    """
    share = (logits.sigmoid() * valid).flatten(1)
    truth = (coverage * valid).flatten(1)
    common = share.minimum(truth).sum(dim=1)
    total = share.sum(dim=1) + truth.sum(dim=1)
    return (1 - (2 * common + smooth) / (total + smooth)).mean()


class _MaskLoss(BaseModule):
    """Loss of a mask, times ``weight``."""

    name: str

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    @abstractmethod
    def measure(self, logits: Tensor, coverage: Tensor, valid: Tensor) -> Tensor:
        """Compute the loss of a batch."""

    def forward(self, logits: Tensor, coverage: Tensor, valid: Tensor) -> Tensor:
        """Compute the weighted loss of a batch."""
        return self.weight * self.measure(logits, coverage, valid)


@MODELS.register_module()
class MaskCrossEntropy(_MaskLoss):
    """:func:`mask_cross_entropy`, logged as ``loss_ce``."""

    name = "loss_ce"
    measure = staticmethod(mask_cross_entropy)


@MODELS.register_module()
class MaskDice(_MaskLoss):
    """:func:`mask_dice`, logged as ``loss_dice``."""

    name = "loss_dice"

    def __init__(self, weight: float = 1.0, smooth: float = 1.0) -> None:
        super().__init__(weight)
        self.smooth = smooth

    def measure(self, logits: Tensor, coverage: Tensor, valid: Tensor) -> Tensor:
        """Compute the loss of a batch."""
        return mask_dice(logits, coverage, valid, self.smooth)


@MODELS.register_module()
class MaskSquaredError(_MaskLoss):
    """:func:`mask_squared_error`, logged as ``loss_mse``."""

    name = "loss_mse"
    measure = staticmethod(mask_squared_error)
