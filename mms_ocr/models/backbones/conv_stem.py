"""Convolutional stem, on the grid of the patch embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ConvStem(nn.Module):
    """Early convolutions (after arXiv 2106.14881): 3×3 down to the grid, then a linear layer.

    At least three convolutions, each followed by batch normalization and ReLU. The first ones halve
    the image until a cell is a patch; the width doubles at each, up to that of the tokens.

    Args:
        patch_size: Height and width of a patch in pixels, powers of 2.
        embed_dims: Width of the tokens; a multiple of 4.
        in_channels: Channels of the images.

    Raises:
        ValueError: A side of the patch is no power of 2, or 1.
    """

    def __init__(self, patch_size: tuple[int, int], embed_dims: int, in_channels: int = 3) -> None:
        super().__init__()
        if any(side < 2 or side & (side - 1) for side in patch_size):
            raise ValueError(
                f"stem='conv' halves the image until a cell is one patch, so patch_size must be "
                f"powers of 2, got {patch_size}; choose another, or stem='patch'"
            )
        halvings = [side.bit_length() - 1 for side in patch_size]
        depth = max(3, *halvings)
        layers: list[nn.Module] = []
        for index in range(depth):
            width = max(embed_dims >> (depth - 1 - index), 8)
            stride = (1 + (index < halvings[0]), 1 + (index < halvings[1]))
            layers += [
                nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            in_channels = width
        self.convs = nn.Sequential(*layers)
        self.projection = nn.Conv2d(in_channels, embed_dims, kernel_size=1)

    def init_own_weights(self) -> None:
        """Initialize for ReLU (arXiv 1502.01852)."""
        for layer in self.convs:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Embed images ``(B, 3, H, W)``: tokens ``(B, L, C)`` in reading order, and their grid."""
        # Faster on CPU, and in bf16 on GPU.
        images = images.contiguous(memory_format=torch.channels_last)
        cells = self.projection(self.convs(images))
        return cells.flatten(2).transpose(1, 2), (cells.shape[2], cells.shape[3])
