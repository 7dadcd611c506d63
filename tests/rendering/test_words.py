"""Texts: their sources, their shares and cases, and lists that cannot be used."""

import re
import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mms_ocr.rendering import TextSource, embedded_words
from mms_ocr.rendering.words import change_case, random_string, read_words

PRINTABLE = set(string.printable[:95])


def _draws(source: TextSource, count: int = 2000) -> list[str]:
    rng = np.random.default_rng(0)
    return [source.draw(rng) for _ in range(count)]


def test_embedded_words_are_lower_case_words():
    words = embedded_words()
    assert 1000 < len(words) == len(set(words))
    assert all(re.fullmatch("[a-z]{1,14}", word) for word in words)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), longest=st.integers(1, 20))
def test_random_strings_keep_to_ascii_and_length(seed, longest):
    text = random_string(np.random.default_rng(seed), longest)
    assert 1 <= len(text) <= longest
    assert set(text) <= PRINTABLE


def test_random_strings_use_all_of_ascii():
    rng = np.random.default_rng(0)
    seen = {char for _ in range(6000) for char in random_string(rng)}
    assert seen == PRINTABLE


def test_share_of_random_strings():
    source = TextSource(["word"], random_string_share=0.25)
    share = np.mean([text != "word" for text in _draws(source)])
    assert abs(share - 0.25) < 0.03
    assert set(_draws(TextSource(["word"], random_string_share=0), 50)) == {"word"}


def test_letter_cases():
    results = [change_case("mcDonald", case) for case in ("keep", "lower", "upper", "title")]
    assert results == ["mcDonald", "mcdonald", "MCDONALD", "McDonald"]
    lines = _draws(TextSource(["word"], 0.0, "mixed", (2, 2)), 100)
    assert set(lines) == {"word word", "WORD WORD", "Word Word"}
    assert set(_draws(TextSource(["iPod"], 0.0), 20)) == {"iPod"}  # given words are kept


@pytest.mark.parametrize(
    ("word", "title"),
    [
        ("WORD", "Word"),
        ("DON'T", "Don't"),
        ("'TWAS", "'Twas"),
        ("3RD", "3rd"),
        ("NEW YORK", "New York"),
        ("twenty-one", "Twenty-One"),
        ("(ÄPFEL)", "(Äpfel)"),
        ("iPod", "IPod"),
        ("123", "123"),
        ("_", "_"),
    ],
)
def test_title_case(word, title):
    assert change_case(word, "title") == title
    assert change_case(title, "title") == title


def test_a_case_with_more_letters_stays_within_the_length():
    source = TextSource(["maß", "ßßß"], 0.0, case="upper", max_length=4)
    assert set(_draws(source, 50)) == {"MASS", "ßßß"}
    assert source.longest == 4


def test_lines_have_words_and_a_length():
    source = TextSource(["ab", "cde"], 0.0, words_per_line=(2, 4), max_length=9)
    texts = _draws(source)
    assert {len(text.split(" ")) for text in texts} == {2, 3}  # a fourth word never fits
    assert max(map(len, texts)) <= 9 == source.longest
    assert set(" ".join(texts).split(" ")) == {"ab", "cde"}


def test_longest_is_an_upper_bound():
    for source in (
        TextSource(), TextSource(words_per_line=(1, 3)), TextSource(["abc"], 0.0),
        TextSource(["abc"], 1.0), TextSource(["abc"], 0.0, words_per_line=(1, 2)),
    ):  # fmt: skip
        assert max(map(len, _draws(source))) <= source.longest
    assert TextSource(["abc"], 0.0).longest == 3
    assert TextSource(["abc"], 0.0, words_per_line=(1, 2)).longest == 7


def test_word_file(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes("\ufefffirst\n\n  two words \r\nüber\n".encode())
    assert read_words(path) == ["first", "two words", "über"]
    assert set(_draws(TextSource(path, 0.0), 60)) == {"first", "two words", "über"}


def test_only_line_feeds_end_words_and_marks_are_composed(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes("cafe\u0301\r\na\u2028b\nc\x0bd".encode())
    assert read_words(path) == ["caf\xe9", "a\u2028b", "c\x0bd"]
    assert TextSource(["n\u0303"], 0.0).words == ["\xf1"]


def test_impossible_cases_keep_the_word():
    assert TextSource(["\u0130x"], 0.0, case="lower").forms("\u0130x") == ["\u0130x"]
    assert TextSource(["\u01f0a"], 0.0, case="upper").forms("\u01f0a") == ["\u01f0a"]
    assert TextSource(["ma\xdf"], 0.0, case="upper", max_length=3).forms("ma\xdf") == ["ma\xdf"]
    assert TextSource(["ma\xdf"], 0.0, case="mixed").forms("ma\xdf") == [
        "ma\xdf", "Ma\xdf", "MASS",
    ]  # fmt: skip


def test_wrong_words(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.txt: no such word file"):
        TextSource(tmp_path / "none.txt")
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(ValueError, match=r"empty\.txt: holds no word"):
        TextSource(str(tmp_path / "empty.txt"))
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(ValueError, match=r"latin.txt: not UTF-8 text .* at byte 3"):
        TextSource(tmp_path / "latin.txt")
    with pytest.raises(ValueError, match="words is an empty list"):
        TextSource([])
    with pytest.raises(ValueError, match=r"words\[1\] is empty"):
        TextSource(["a", " "])
    with pytest.raises(
        ValueError, match=r"words: 1 of 2 words are longer than max_length=4 .*'longer'"
    ):
        TextSource(["a", "longer"], max_length=4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(random_string_share=1.2), "random_string_share is 1.2; give 0 to 1"),
        (dict(case="camel"), "case is 'camel'; give one of keep, lower"),
        (dict(words_per_line=(0, 2)), "words_per_line is .0, 2.; give"),
        (dict(words_per_line=(3, 2)), "words_per_line is .3, 2.; give"),
        (dict(max_length=0), "max_length is 0; give at least 1"),
    ],
)
def test_wrong_settings(arguments, message):
    with pytest.raises(ValueError, match=message):
        TextSource(**arguments)
