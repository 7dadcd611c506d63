"""Patches of images and of tokens, on any grid."""

from __future__ import annotations

from mmengine.utils import to_2tuple
from torch import Tensor

# Added to the variance of a patch, as in MAE, so that flat patches stay finite.
EPSILON = 1e-6


def patchify(images: Tensor, patch_size: int | tuple[int, int]) -> Tensor:
    """Cut images ``(B, C, H, W)`` into patches ``(B, L, p * q * C)``.

    Patches, and the pixels in them, are in reading order, with the channels of a pixel adjacent, as
    in MMPretrain's ``MAEPretrainHead``. ``patch_size`` is p, or p and q.
    """
    batch, channels, height, width = images.shape
    patch_height, patch_width = to_2tuple(patch_size)
    rows, columns = height // patch_height, width // patch_width
    cut = images.reshape(batch, channels, rows, patch_height, columns, patch_width)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(batch, rows * columns, -1)


def unpatchify(patches: Tensor, grid: tuple[int, int], patch_size: int | tuple[int, int]) -> Tensor:
    """Assemble images ``(B, C, H, W)`` of patches, the inverse of :func:`patchify`."""
    rows, columns = grid
    patch_height, patch_width = to_2tuple(patch_size)
    batch = patches.shape[0]  # torch.jit.trace does not follow len()
    cut = patches.reshape(batch, rows, columns, patch_height, patch_width, -1)
    channels = cut.shape[-1]
    return cut.permute(0, 5, 1, 3, 2, 4).reshape(
        batch, channels, rows * patch_height, columns * patch_width
    )


def normalize_patches(patches: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Normalize each patch to zero mean and unit variance, as MAE (arXiv 2111.06377).

    Returns normalized patches ``(B, L, D)``, and their mean and standard deviation ``(B, L, 1)``.
    """
    mean = patches.mean(dim=-1, keepdim=True)
    std = (patches.var(dim=-1, keepdim=True) + EPSILON).sqrt()
    return (patches - mean) / std, mean, std


def split_mask(mask: Tensor, num_removed: int | None = None) -> tuple[Tensor, Tensor]:
    """Find the indices of the visible and of the removed patches, in reading order.

    Args:
        mask: Bool ``(B, L)``, True = removed, the same number in every row, and not all.
        num_removed: That number; None counts it and checks every row, which waits for the device.

    Raises:
        ValueError: Rows remove different numbers of patches, or all of them.
    """
    if num_removed is None:
        counts = mask.sum(dim=1)
        num_removed = int(counts[0])
        if bool((counts != num_removed).any()):
            raise ValueError(
                "every row of a mask must remove equally many patches, got between "
                f"{int(counts.min())} and {int(counts.max())}"
            )
    if num_removed >= mask.shape[1]:
        raise ValueError(f"the mask leaves no visible patch of {mask.shape[1]}")
    order = mask.byte().argsort(dim=1, stable=True)
    num_visible = mask.shape[1] - num_removed
    return order[:, :num_visible], order[:, num_visible:]


def gather_tokens(tokens: Tensor, index: Tensor) -> Tensor:
    """Select tokens ``(B, N, C)`` of ``tokens`` ``(B, L, C)`` by ``index`` ``(B, N)``."""
    return tokens.gather(1, index.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


def hide_patches(
    images: Tensor, mask: Tensor, patch_size: tuple[int, int], value: float = 0.0
) -> Tensor:
    """Set the patches of ``mask`` ``(B, L)`` in images ``(B, C, H, W)`` to ``value``."""
    height, width = patch_size
    grid = (images.shape[-2] // height, images.shape[-1] // width)
    pixels = mask.view(len(mask), 1, *grid)
    pixels = pixels.repeat_interleave(height, dim=2).repeat_interleave(width, dim=3)
    return images.masked_fill(pixels, value)
