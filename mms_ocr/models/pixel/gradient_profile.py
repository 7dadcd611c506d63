"""The gradient-profile term: edges of the prediction as steep as those of the truth."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mms_ocr.registry import MODELS

# Under the root, so that its slope stays finite where an image is even.
_LEAST_SQUARE = 1e-6


def gradient_magnitude(images: Tensor) -> Tensor:
    """Length of the gradient of every pixel and channel, by central differences.

    Beyond the border an image goes on with its border pixels.

    Args:
        images: ``(B, C, H, W)``.

    Returns:
        ``(B, C, H, W)``, in units of the image per pixel; 0.001 where there is no gradient.
    """
    wide = F.pad(images, (1, 1, 1, 1), mode="replicate")
    across = (wide[..., 1:-1, 2:] - wide[..., 1:-1, :-2]) / 2
    down = (wide[..., 2:, 1:-1] - wide[..., :-2, 1:-1]) / 2
    return (across.square() + down.square() + _LEAST_SQUARE).sqrt()


@MODELS.register_module()
class GradientProfileLoss(nn.Module):
    """Mean absolute difference of gradient magnitudes (TextZoom, ECCV 2020, arXiv 2005.03341).

    The paper's code goes on with zeros beyond the border, which makes an edge of every border.

    Args:
        loss_weight: Factor of the term; 1e-4 beside an L2 loss on [0, 1] in the paper's code.
    """

    def __init__(self, loss_weight: float = 1e-4) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """The weighted term, a scalar, of images ``(B, C, H, W)``."""
        difference = gradient_magnitude(predicted) - gradient_magnitude(truth)
        return self.loss_weight * torch.mean(difference.abs())
