"""What a predicted mask costs: cross-entropy, Dice and mean squared error on soft targets."""

from __future__ import annotations

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from mms_ocr.registry import MODELS


def _mean_over(values: Tensor, valid: Tensor) -> Tensor:
    return (values * valid).sum() / valid.sum().clamp(min=1)


def mask_cross_entropy(logits: Tensor, coverage: Tensor, valid: Tensor) -> Tensor:
    """Binary cross-entropy, the mean over all valid pixels of the batch.

    Args:
        logits: ``(N, 1, H, W)``; their sigmoid is the predicted share of text in a pixel.
        coverage: True share of text in every pixel, in [0, 1], of the same shape.
        valid: 1 where a pixel counts and 0 where it does not, of the same shape.
    """
    return _mean_over(F.binary_cross_entropy_with_logits(logits, coverage, reduction="none"), valid)


def mask_squared_error(logits: Tensor, coverage: Tensor, valid: Tensor) -> Tensor:
    """Squared difference of predicted and true share, the mean over all valid pixels.

    Args:
        logits: See :func:`mask_cross_entropy`, also for the others.
        coverage: True shares.
        valid: Pixels that count.
    """
    return _mean_over((logits.sigmoid() - coverage).square(), valid)


def mask_dice(logits: Tensor, coverage: Tensor, valid: Tensor, smooth: float = 1.0) -> Tensor:
    """One minus the soft Dice coefficient of every image, the mean over images.

    With predicted shares p and true ones t, the coefficient is ``(2 * sum(min(p, t)) + smooth) /
    (sum(p) + sum(t) + smooth)``. The usual product p * t has its optimum at shares of 0 and 1 where
    the truth is in between; the minimum has it at the truth, and is the same where t is 0 or 1.

    Args:
        logits: See :func:`mask_cross_entropy`, also for the others.
        coverage: True shares.
        valid: Pixels that count.
        smooth: Pixels added above and below: what an image without text is divided by.
    """
    share = (logits.sigmoid() * valid).flatten(1)
    truth = (coverage * valid).flatten(1)
    common = share.minimum(truth).sum(dim=1)
    total = share.sum(dim=1) + truth.sum(dim=1)
    return (1 - (2 * common + smooth) / (total + smooth)).mean()


class _MaskLoss(BaseModule):
    """A weighted loss of a mask.

    Args:
        weight: What it is multiplied by.
    """

    name: str

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight


@MODELS.register_module()
class MaskCrossEntropy(_MaskLoss):
    """:func:`mask_cross_entropy`, logged as ``loss_ce``."""

    name = "loss_ce"

    def forward(self, logits: Tensor, coverage: Tensor, valid: Tensor) -> Tensor:
        """The loss of a batch, times the weight."""
        return self.weight * mask_cross_entropy(logits, coverage, valid)


@MODELS.register_module()
class MaskDice(_MaskLoss):
    """:func:`mask_dice`, logged as ``loss_dice``.

    Args:
        weight: What it is multiplied by.
        smooth: See there.
    """

    name = "loss_dice"

    def __init__(self, weight: float = 1.0, smooth: float = 1.0) -> None:
        super().__init__(weight)
        self.smooth = smooth

    def forward(self, logits: Tensor, coverage: Tensor, valid: Tensor) -> Tensor:
        """The loss of a batch, times the weight."""
        return self.weight * mask_dice(logits, coverage, valid, self.smooth)


@MODELS.register_module()
class MaskSquaredError(_MaskLoss):
    """:func:`mask_squared_error`, logged as ``loss_mse``."""

    name = "loss_mse"

    def forward(self, logits: Tensor, coverage: Tensor, valid: Tensor) -> Tensor:
        """The loss of a batch, times the weight."""
        return self.weight * mask_squared_error(logits, coverage, valid)
