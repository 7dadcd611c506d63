"""From a map to its columns by convolutions."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ColumnConv"]


class ColumnConv(nn.Module):
    """A convolution over all rows and three columns, and one along the columns.

    Unlike a mean over the rows, it tells them apart: which strokes stand above which others is what
    makes a character.

    Args:
        in_channels: Width of the map.
        num_rows: Rows of the map.
        channels: Width of the columns.
        dropout: Share of their values that training leaves out, after each convolution.
    """

    def __init__(self, in_channels: int, num_rows: int, channels: int, dropout: float) -> None:
        super().__init__()
        self.num_rows = num_rows
        self.merge = nn.Conv2d(in_channels, channels, (num_rows, 3), padding=(0, 1))
        self.norm1 = nn.LayerNorm(channels)
        self.along = nn.Conv1d(channels, channels, 3, padding=1)
        self.norm2 = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, feature_map: Tensor) -> Tensor:
        """Columns ``(N, W, channels)`` of a map ``(N, C, H, W)``.

        Raises:
            ValueError: The map has another number of rows.
        """
        if feature_map.shape[2] != self.num_rows:
            raise ValueError(
                f"the map has {feature_map.shape[2]} rows and CTCDecoder takes {self.num_rows}; "
                f"set num_rows={feature_map.shape[2]} on it"
            )
        columns = self.merge(feature_map).squeeze(2).transpose(1, 2)
        columns = self.dropout(F.gelu(self.norm1(columns)))
        columns = self.along(columns.transpose(1, 2)).transpose(1, 2)
        return self.dropout(F.gelu(self.norm2(columns)))
