"""Dictionary files, wherever a config names them."""

import importlib.util

import pytest
from mmengine.config import Config

from mms_ocr.cli import training
from mms_ocr.cli.launching import build_runner
from mms_ocr.cli.main import main
from mms_ocr.registry import MODELS
from mms_ocr.utils.dictionaries import check_dictionaries, read_dictionary

WRONG = {
    "twice": (b"a\nb\n\na\n", "'a' .U.0061. .* line 1 and in line 4"),
    "space twice": (b"a\n \nb\n ", "' ' .U.0020. .* line 2 and in line 4"),
    "blank after": (b"a\nb \r\n", "line 2: .* 'b ' .U.0062 U.0020"),
    "decomposed": ("a\ne\u0301\n".encode(), "line 2: .*U.0065 U.0301"),
    "one line": (b"abc", "line 1: .*'abc'"),
    "mark": ("\ufeffa\nb\n".encode(), "byte order mark"),
    "mark alone": ("\ufeff\na\n".encode(), "byte order mark"),
    "latin": ("a\né\n".encode("latin-1"), "not UTF-8 text .* at byte 2"),
    "utf-16": ("a\nb\n".encode("utf-16"), "not UTF-8"),
    "empty": (b"\n\r\n", "has no characters"),
}


@pytest.fixture
def dict_file(tmp_path):
    def write(content: bytes) -> str:
        path = tmp_path / "d.txt"
        path.write_bytes(content)
        return str(path)

    return write


def test_one_character_a_line(dict_file, repository):
    bundled = read_dictionary(str(repository / "configs" / "dicts" / "printable_ascii.txt"))
    assert set(bundled) == set(map(chr, range(33, 127)))
    assert read_dictionary(dict_file("a\n \n\né\r\nb".encode())) == ["a", " ", "é", "b"]


@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_file_is_refused_with_its_line(dict_file, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_dictionary(dict_file(content))
    assert "d.txt" in str(caught.value)


@pytest.mark.parametrize("path", ["none.txt", "."])
def test_missing_file_raises(path):
    with pytest.raises(FileNotFoundError, match=path):
        read_dictionary(path)


def test_dictionaries_at_any_depth_of_a_config(dict_file):
    twice = dict(type="mmocr.Dictionary", dict_file=dict_file(b"a\na"))
    for config in (twice, dict(decoder=[dict(x=1), dict(dictionary=twice)])):
        with pytest.raises(ValueError, match="twice"):
            check_dictionaries(config)
    check_dictionaries(None)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (dict(with_start=True, start_token="b"), "start_token='b'"),
        (dict(with_padding=True, padding_token="-", with_unknown=True, unknown_token="-"), "un"),
        (dict(with_start=True, start_token="<S>", with_end=True, end_token="<S>"), "end_token"),
    ],
)
def test_tokens_that_are_not_different_are_refused(dict_file, tokens, message):
    dictionary = dict(dict_file=dict_file(b"a\nb"), **tokens)
    with pytest.raises(ValueError, match=message):
        check_dictionaries(dictionary)
    check_dictionaries({**dictionary, **dict.fromkeys([k for k in tokens if "with" in k], False)})


needs_mmocr = pytest.mark.skipif(
    importlib.util.find_spec("mmocr") is None, reason="MMOCR is not installed"
)


@needs_mmocr
@pytest.mark.parametrize(
    ("kind", "settings"),
    [("CTCDecoder", dict(in_channels=8)), ("TextDecoder", dict())],
)
def test_decoders_refuse_it(dict_file, kind, settings):
    dictionary = dict(type="mmocr.Dictionary", dict_file=dict_file(b"a\na\n"))
    with pytest.raises(ValueError, match=r"'a' .* twice"):
        MODELS.build(dict(type=f"mms_ocr.{kind}", dictionary=dictionary, **settings))


@needs_mmocr
def test_a_training_does_not_begin(dict_file, repository, tmp_path, capsys):
    path = dict_file(b"x\nx")
    command = [
        str(repository / "configs" / "textrecog" / "swap_in" / "crnn.py"),
        *("--work-dir", str(tmp_path / "work"), "--iterations", "1"),
        *("--cfg-options", f"model.decoder.dictionary.dict_file={path}"),
    ]
    assert training.main(command) == 2
    assert "'x' (U+0078) is there twice, in line 1 and in line 2" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


def test_labels_refuses_it(dict_file, tmp_path, capsys):
    (tmp_path / "gt.txt").write_text("1.jpg a\n")
    assert main(["labels", str(tmp_path / "gt.txt"), "--dictionary", dict_file(b"a\nb\na")]) == 2
    assert "in line 1 and in line 3" in capsys.readouterr().err


def test_a_runner_is_not_built_with_it(dict_file):
    with pytest.raises(ValueError, match="twice"):
        build_runner(Config(dict(model=dict(dictionary=dict(dict_file=dict_file(b"a\na"))))))
