"""Fonts with known defects, made from one that matplotlib ships."""

from collections.abc import Callable
from pathlib import Path

import matplotlib
import pytest
from fontTools import subset
from fontTools.ttLib import TTFont

from mms_ocr.datasets.rendering import FontFace

_FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@pytest.fixture(scope="session")
def dejavu() -> FontFace:
    """DejaVu Sans, which has all of ASCII."""
    return FontFace(_FONTS / "DejaVuSans.ttf")


@pytest.fixture(scope="session")
def make_font(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes DejaVu Sans under another family name with some characters only.

    ``show`` maps characters to those whose shapes they get.
    """

    def make(family: str, characters: str, show: dict[str, str] | None = None) -> Path:
        font = TTFont(_FONTS / "DejaVuSans.ttf")
        for table in font["cmap"].tables:
            if table.isUnicode():
                table.cmap.update({ord(a): table.cmap[ord(b)] for a, b in (show or {}).items()})
        subsetter = subset.Subsetter(subset.Options(name_IDs=["*"], notdef_outline=True))
        subsetter.populate(text=characters)
        subsetter.subset(font)
        for record in font["name"].names:
            if record.nameID in (1, 16):
                record.string = family
        path = tmp_path_factory.mktemp("font") / f"{family}.ttf"
        font.save(path)
        return path

    return make
