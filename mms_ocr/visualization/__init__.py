"""Layout of pictures: every sheet is one grid."""

from mms_ocr.visualization.grid import GAP, HEADER, draw_text, fit_picture, picture_grid, to_picture
from mms_ocr.visualization.heat import draw_heat

__all__ = ["GAP", "HEADER", "draw_heat", "draw_text", "fit_picture", "picture_grid", "to_picture"]
