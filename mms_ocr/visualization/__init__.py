"""Pictures of masks, reconstructions and data."""

from mms_ocr.visualization.comparisons import comparison_sheet, to_picture
from mms_ocr.visualization.sheets import label_columns, reconstruction_sheet, stack_rows

__all__ = [
    "comparison_sheet",
    "label_columns",
    "reconstruction_sheet",
    "stack_rows",
    "to_picture",
]
