"""Words that glyphs set one after another would show wrongly."""

import pytest

from mms_ocr.cli.main import main
from mms_ocr.rendering import FontCollection, TextSource, WordRenderer
from mms_ocr.rendering.shaping import needs_shaping

REFUSED = {
    "Hebrew": ("\u05e9\u05dc\u05d5\u05dd", "U+05E9"),
    "Arabic": ("\u0633\u0644\u0627\u0645", "U+0633"),
    "Arabic, joined forms": ("\ufee1", "U+FEE1"),
    "Syriac": ("\u0710", "U+0710"),
    "Thaana": ("\u0780", "U+0780"),
    "N'Ko": ("\u07ca", "U+07CA"),
    "Adlam": ("\U0001e900", "U+1E900"),
    "in a Latin word": ("a\u05d0b", "U+05D0"),
    "Devanagari": ("\u0939\u093f\u0928\u094d\u0926\u0940", "U+093F"),
    "Bengali": ("\u09ac\u09be", "U+09BE"),
    "Tamil": ("\u0ba4\u0bae\u0bbf", "U+0BBF"),
    "Thai": ("\u0e17\u0e35\u0e48", "U+0E35"),
    "Khmer": ("\u1781\u17d2", "U+17D2"),
    "Myanmar": ("\u1019\u103c", "U+103C"),
    "Tibetan": ("\u0f40\u0f71", "U+0F71"),
    "Mongolian": ("\u1820", "U+1820"),
    "Hangul Jamo": ("\u1112\u119e", "U+1112"),
    "a mark without composed letter": ("x\u0301", "U+0301"),
    "variation selector": ("a\ufe0f", "U+FE0F"),
    "joined emoji": ("\u2640\u200d\u2642", "U+200D"),
    "skin tone": ("\u261d\U0001f3fd", "U+1F3FD"),
    "flag": ("\U0001f1e9\U0001f1ea", "U+1F1E9"),
    "keycap": ("1\u20e3", "U+20E3"),
    "bidirectional control": ("a\u202eb", "U+202E"),
    "soft hyphen": ("a\xadb", "U+00AD"),
    "zero width space": ("a\u200bb", "U+200B"),
    "byte order mark": ("a\ufeff", "U+FEFF"),
    "tab": ("a\tb", "U+0009"),
    "null": ("a\0b", "U+0000"),
    "line separator": ("a\u2028b", "U+2028"),
    "surrogate": ("a\udce9", "U+DCE9"),
}


@pytest.fixture(scope="module")
def fonts():
    return FontCollection()


@pytest.mark.parametrize(("word", "character"), REFUSED.values(), ids=REFUSED)
def test_words_of_such_characters_are_refused(fonts, word, character):
    with pytest.raises(ValueError, match="1 of 2 words") as caught:
        WordRenderer(fonts, TextSource(["plain", word], 0.0))
    assert character in str(caught.value)
    assert not fonts.able(word)


def test_other_scripts_are_drawn(fonts):
    """Single letters of any script that the fonts have; digits run left to right."""
    words = [
        "\u0393\u03b5\u03b9\u03ac",
        "\u0428\u0443\u043c",
        "\u0576\u0561",
        "\u1ea7\u0111",
        "\xf1",
    ]
    renderer = WordRenderer(fonts, TextSource(words, 0.0))
    assert {renderer.content(index)[0] for index in range(40)} == set(words)
    for character in "\u0e01\u0915\u3042\u30fc\uff9e\u6f22\uac00\u0661\u2764":
        assert not needs_shaping(character)


def test_a_letter_and_its_mark_are_drawn_as_one_character(fonts):
    renderer = WordRenderer(fonts, TextSource(["cafe\u0301"], 0.0))
    word = renderer.render(0)
    assert word.text == "caf\xe9"
    assert len(word.char_boxes) == 4


def test_a_word_that_no_font_has_in_its_case_is_refused(make_font):
    basic = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnopqrstuvwxyz"
    fonts = FontCollection([str(make_font("Small", basic + "\xff"))])
    words = ["plain", "\xff"]
    for case in ("lower", "mixed"):
        WordRenderer(fonts, TextSource(words, 0.0, case=case))
    with pytest.raises(ValueError, match=r"1 of 2 words .*'\xff'; characters: '\u0178'"):
        WordRenderer(fonts, TextSource(words, 0.0, case="upper"))


def test_command_refuses_unsupported_scripts(tmp_path, capsys):
    (tmp_path / "words.txt").write_text("plain\n\u05e9\u05dc\u05d5\u05dd\n", encoding="utf-8")
    sheet = tmp_path / "sheet.png"
    command = ["render", "--words", str(tmp_path / "words.txt"), "--sheet", str(sheet)]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "words.txt: 1 of 2 words" in error
    assert "U+05E9" in error
    assert not sheet.exists()
