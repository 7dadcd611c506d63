"""Hide the patches of a mask in images, and gather the tokens of the others."""

from __future__ import annotations

from torch import Tensor


def split_mask(mask: Tensor, num_removed: int | None = None) -> tuple[Tensor, Tensor]:
    """Indices of the visible and of the removed patches, each in reading order.

    Args:
        mask: Bool ``(B, L)``, True = removed, equally many in every row.
        num_removed: That number. None counts it and checks every row, which waits for the device.

    Returns:
        Visible ``(B, L - num_removed)`` and removed ``(B, num_removed)`` patch indices.

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
    """Tokens ``(B, N, C)`` at the positions ``index`` ``(B, N)`` of ``tokens`` ``(B, L, C)``."""
    return tokens.gather(1, index.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


def hide_patches(
    images: Tensor, mask: Tensor, patch_size: tuple[int, int], value: float = 0.0
) -> Tensor:
    """Images ``(B, C, H, W)`` with the patches of ``mask`` ``(B, L)`` set to ``value``.

    0 is gray, where images are normalized as usual.
    """
    height, width = patch_size
    grid = (images.shape[-2] // height, images.shape[-1] // width)
    pixels = mask.view(len(mask), 1, *grid)
    pixels = pixels.repeat_interleave(height, dim=2).repeat_interleave(width, dim=3)
    return images.masked_fill(pixels, value)
