"""Images as patches of pixels, on any grid."""

from __future__ import annotations

from torch import Tensor

# Added to the variance of a patch, as in MAE, so that flat patches do not blow up.
EPSILON = 1e-6


def patchify(images: Tensor, patch_size: int) -> Tensor:
    """Cut images into patches.

    Args:
        images: ``(B, C, H, W)``, sides divisible by the patch.
        patch_size: p, side of a patch in pixels.

    Returns:
        ``(B, L, p * p * C)``: patches in reading order, their pixels in reading order, the channels
        of a pixel side by side, as in MMPretrain's ``MAEPretrainHead``.
    """
    batch, channels, height, width = images.shape
    rows, columns = height // patch_size, width // patch_size
    cut = images.reshape(batch, channels, rows, patch_size, columns, patch_size)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(batch, rows * columns, -1)


def unpatchify(patches: Tensor, grid: tuple[int, int], patch_size: int) -> Tensor:
    """Put patches together again; undoes :func:`patchify`.

    Args:
        patches: ``(B, L, p * p * C)``.
        grid: Rows and columns of the patches, ``(H / p, W / p)``.
        patch_size: p.

    Returns:
        ``(B, C, H, W)``.
    """
    rows, columns = grid
    batch = patches.shape[0]  # as len() is not, this is followed by torch.jit.trace
    cut = patches.reshape(batch, rows, columns, patch_size, patch_size, -1)
    channels = cut.shape[-1]
    return cut.permute(0, 5, 1, 3, 2, 4).reshape(
        batch, channels, rows * patch_size, columns * patch_size
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
