"""Images as patches of pixels, on any grid."""

from __future__ import annotations

from mmengine.utils import to_2tuple
from torch import Tensor

# Added to the variance of a patch, as in MAE, so that flat patches do not blow up.
EPSILON = 1e-6


def patchify(images: Tensor, patch_size: int | tuple[int, int]) -> Tensor:
    """Cut images into patches.

    Args:
        images: ``(B, C, H, W)``, sides divisible by the patch.
        patch_size: Side p of a patch in pixels, or its height p and width q.

    Returns:
        ``(B, L, p * q * C)``: patches in reading order, their pixels in reading order, the channels
        of a pixel side by side, as in MMPretrain's ``MAEPretrainHead``.
    """
    batch, channels, height, width = images.shape
    patch_height, patch_width = to_2tuple(patch_size)
    rows, columns = height // patch_height, width // patch_width
    cut = images.reshape(batch, channels, rows, patch_height, columns, patch_width)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(batch, rows * columns, -1)


def unpatchify(patches: Tensor, grid: tuple[int, int], patch_size: int | tuple[int, int]) -> Tensor:
    """Put patches together again; undoes :func:`patchify`.

    Args:
        patches: ``(B, L, p * q * C)``.
        grid: Rows and columns of the patches, ``(H / p, W / q)``.
        patch_size: p, or p and q.

    Returns:
        ``(B, C, H, W)``.
    """
    rows, columns = grid
    patch_height, patch_width = to_2tuple(patch_size)
    batch = patches.shape[0]  # as len() is not, this is followed by torch.jit.trace
    cut = patches.reshape(batch, rows, columns, patch_height, patch_width, -1)
    channels = cut.shape[-1]
    return cut.permute(0, 5, 1, 3, 2, 4).reshape(
        batch, channels, rows * patch_height, columns * patch_width
    )


def normalize_patches(patches: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Patches with zero mean and unit variance each, as MAE's targets (arXiv 2111.06377).

    Args:
        patches: ``(B, L, D)``.

    Returns:
        Normalized patches ``(B, L, D)``, and the mean and the standard deviation ``(B, L, 1)`` that
        turn them back: ``normalized * std + mean``.
    """
    mean = patches.mean(dim=-1, keepdim=True)
    std = (patches.var(dim=-1, keepdim=True) + EPSILON).sqrt()
    return (patches - mean) / std, mean, std
