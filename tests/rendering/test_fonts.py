"""Faces against Pillow's own drawing, and what collections keep, refuse and prefer."""

import os
import pickle
import shutil
import string
from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mms_ocr.rendering import FontCollection, FontFace, fonts
from mms_ocr.rendering.faces import CAP_HEIGHT
from mms_ocr.rendering.fonts import family_part

TEXT_CHARACTERS = string.ascii_letters + string.digits


@pytest.mark.parametrize("character", "Agj.|Éß")
def test_glyph_is_what_pillow_draws(dejavu, character):
    glyph = dejavu.glyph(character)
    canvas = Image.new("L", (200, 200))
    ImageDraw.Draw(canvas).text((80, 120), character, 255, dejavu.font, anchor="ls")
    left, top, right, bottom = canvas.getbbox()
    assert (glyph.left, glyph.top) == (left - 80, top - 120)
    np.testing.assert_array_equal(glyph.coverage, np.asarray(canvas)[top:bottom, left:right])
    assert glyph.advance == dejavu.font.getlength(character)


def test_capitals_have_the_set_height(dejavu):
    assert abs(dejavu.glyph("H").coverage.shape[0] - CAP_HEIGHT) <= 1
    assert abs(FontFace(dejavu.path.with_name("STIXGeneral.ttf")).glyph("H").top + CAP_HEIGHT) <= 1


def test_rim_bounds_the_ink(dejavu):
    for character in "Oi%":
        glyph = dejavu.glyph(character)
        height, width = glyph.coverage.shape
        assert glyph.rim.min(axis=0).tolist() == [0, 0]
        assert glyph.rim.max(axis=0).tolist() == [width, height]
        rows, columns = glyph.coverage.nonzero()
        corners = {(x, y) for x, y in glyph.rim.tolist()}
        for row in set(rows.tolist()):  # an i has rows without ink
            assert (columns[rows == row].min(), row) in corners
            assert (columns[rows == row].max() + 1, row + 1) in corners


def test_kerning_is_what_a_pair_lacks_of_its_letters(dejavu):
    alone = dejavu.font.getlength("A") + dejavu.font.getlength("V")
    assert dejavu.kerning("AV") == dejavu.font.getlength("AV") - alone
    assert dejavu.kerning("AV") < 0


def test_lacking_characters(dejavu, make_font):
    face = FontFace(make_font("Few", TEXT_CHARACTERS + " "))
    assert face.lacking("a-b, ü a-") == ["-", ",", "ü"]
    assert dejavu.lacking(string.printable[:95] + "üßÉ") == []
    assert dejavu.lacking("日\t\u200b") == ["日", "\t", "\u200b"]
    again = pickle.loads(pickle.dumps(face))
    assert again.lacking("a-b") == ["-"]
    np.testing.assert_array_equal(again.glyph("a").coverage, face.glyph("a").coverage)


def test_symbol_fonts_are_left_out():
    collection = FontCollection()
    skipped = {path.name for path in collection.skipped}
    assert {"cmex10.ttf", "cmsy10.ttf", "LastResortHE-Regular.ttf", "STIXSizOneSymReg.ttf"} <= (
        skipped
    )
    names = {face.path.name for face in collection.faces}
    assert {"DejaVuSans.ttf", "STIXGeneral.ttf", "cmr10.ttf"} <= names
    assert next(f for f in collection.faces if f.family == "cmr10").lacking("aZ9<") == ["<"]


def test_fonts_without_lower_case_are_known(dejavu, make_font):
    capitals = {small: small.upper() for small in string.ascii_lowercase}
    face = FontFace(make_font("Capitals", TEXT_CHARACTERS, capitals))
    assert face.unicase
    assert FontFace(make_font("Only", string.ascii_uppercase + string.digits)).unicase
    assert not dejavu.unicase


def test_weights_by_family(make_font):
    paths = [str(make_font(name, TEXT_CHARACTERS)) for name in ("One", "Two", "Three")]
    several = FontCollection([*paths, str(make_font("One", TEXT_CHARACTERS))])
    rng = np.random.default_rng(0)
    counts = Counter(several.draw(rng, "ab").family for _ in range(3000))
    assert all(abs(count - 1000) < 120 for count in counts.values()), counts
    weighed = FontCollection(paths, weights={"One": 3, "Three": 0})
    counts = Counter(weighed.draw(rng, "ab").family for _ in range(2000))
    assert set(counts) == {"One", "Two"}
    assert abs(counts["One"] - 1500) < 120
    with pytest.raises(ValueError, match="font weight for 'Four'; there are: One, Three, Two"):
        FontCollection(paths, weights={"Four": 1})
    for wrong in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="give finite weights of at least 0"):
            FontCollection(paths, weights={"One": wrong})
    with pytest.raises(ValueError, match="leave no font"):
        FontCollection(paths, weights={"One": 0, "Two": 0, "Three": 0})


def test_only_faces_that_have_the_text_are_drawn(make_font):
    paths = [str(make_font("Dash", TEXT_CHARACTERS + "-")), str(make_font("None", TEXT_CHARACTERS))]
    collection = FontCollection(paths, weights={"None": 1e9})
    rng = np.random.default_rng(0)
    assert {collection.draw(rng, "a-b").family for _ in range(20)} == {"Dash"}
    assert collection.draw(rng, "a+b") is None
    assert collection.lacking("a-+") == ["+"]


def test_family_part_is_the_published_hash():
    # The split must never change: fonts held out in one run would be seen in the next.
    assert [family_part(f"family {n}") for n in range(8)] == [
        "train", "train", "train", "val", "train", "train", "train", "train"
    ]  # fmt: skip
    parts = Counter(family_part(f"{n}") for n in range(2000))
    assert abs(parts["val"] - 400) < 70


def test_wrong_folders(tmp_path, make_font):
    with pytest.raises(FileNotFoundError, match="nowhere: no such font folder or file"):
        FontCollection(str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"no \.ttf, \.otf, .* file in this folder"):
        FontCollection([str(tmp_path)])
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    with pytest.raises(ValueError, match=r"no font, 1 unreadable .*broken\.ttf: not a font"):
        FontCollection([str(tmp_path)])
    symbols = make_font("Symbols", "+-")
    with pytest.raises(ValueError, match=r"1 fonts with symbols only in .*give a folder with"):
        FontCollection(str(symbols.parent))


def test_system_fonts_that_cannot_be_read_are_left_out(tmp_path, monkeypatch, dejavu):
    broken = tmp_path / "emoji.ttf"
    broken.write_bytes(b"no font")
    files = [str(broken), str(dejavu.path)]
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", lambda: files)
    collection = FontCollection("system")
    assert [face.path for face in collection.faces] == [dejavu.path]
    assert collection.skipped == [broken]
    with pytest.raises(ValueError, match=r"emoji\.ttf: not a font that FreeType can read"):
        FontCollection(["system", str(broken)])


def test_broken_and_hidden_fonts_of_a_folder_are_left_out(tmp_path, dejavu, monkeypatch):
    messages: list[str] = []
    monkeypatch.setattr(fonts, "warn", messages.append)
    folder = tmp_path / "fonts"
    (folder / "x.ttf").mkdir(parents=True)
    shutil.copy(dejavu.path, folder / "x.ttf" / "good.TTF")
    (folder / "._good.ttf").write_bytes(b"\0\5\x16\7")
    os.mkfifo(folder / "pipe.ttf")
    collection = FontCollection(str(folder))
    assert [face.path.name for face in collection.faces] == ["good.TTF"]
    assert collection.skipped == []
    assert messages == []
    (folder / "broken.otf").write_bytes(b"no font")
    # The tables are whole and the outlines are not: such a font is opened, but draws nothing.
    data = dejavu.path.read_bytes()
    kept = data[: int(0.86 * len(data))]
    (folder / "zeros.ttf").write_bytes(kept + bytes(len(data) - len(kept)))
    assert len(FontCollection(str(folder))) == 1
    assert "left out 2 as broken" in messages[0]
    with pytest.raises(ValueError, match=r"zeros\.ttf: its letters cannot be drawn"):
        FontCollection(str(folder / "zeros.ttf"))
    with pytest.raises(ValueError, match=r"broken\.otf: not a font that FreeType can read"):
        FontCollection([str(folder), str(folder / "broken.otf")])
