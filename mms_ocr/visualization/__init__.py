"""Pictures of masks, reconstructions and data."""

from mms_ocr.visualization.sheets import label_columns, reconstruction_sheet, stack_rows

__all__ = ["label_columns", "reconstruction_sheet", "stack_rows"]
