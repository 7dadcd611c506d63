"""From a map to its columns by convolutions."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from mms_ocr.models.textrecog.ctc import pool_rows


class ColumnConv(nn.Module):
    """Weighted means over the rows, and what convolutions add to them.

    The convolutions, one over all rows and three columns and one along the columns, tell the rows
    apart: which strokes stand above which others is what makes a character. The way past them is
    linear, and by it CTC leaves its plateau of blanks much sooner where nothing tells it where the
    characters stand. The weights of the means start alike.

    Args:
        in_channels: Width of the map.
        num_rows: Rows of the map.
        channels: Width of the columns.
        dropout: Share of their values that training leaves out, after each convolution.
    """

    def __init__(self, in_channels: int, num_rows: int, channels: int, dropout: float) -> None:
        super().__init__()
        self.num_rows = num_rows
        self.row_score = nn.Conv2d(in_channels, 1, kernel_size=1, bias=False)
        self.skip = nn.Identity() if channels == in_channels else nn.Linear(in_channels, channels)
        self.merge = nn.Conv2d(in_channels, channels, (num_rows, 3), padding=(0, 1))
        self.norm1 = nn.LayerNorm(channels)
        self.along = nn.Conv1d(channels, channels, 3, padding=1)
        self.norm2 = nn.LayerNorm(channels)
        self.out = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.row_score.weight)

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
        means = pool_rows(feature_map, self.row_score(feature_map).squeeze(1))
        columns = self.merge(feature_map).squeeze(2).transpose(1, 2)
        columns = self.dropout(F.gelu(self.norm1(columns)))
        columns = self.along(columns.transpose(1, 2)).transpose(1, 2)
        columns = self.dropout(F.gelu(self.norm2(columns)))
        return self.skip(means) + self.out(columns)
