"""LMDBs of others: one file or a folder, any name, other forms of keys and counts."""

from __future__ import annotations

import pickle
import shutil

import lmdb
import pytest
from made_images import encode, lmdb_entries, word_pixels, write_lmdb
from torch.utils.data import DataLoader

from mms_ocr.apis.input_images import input_images, is_one_image
from mms_ocr.cli import main as cli
from mms_ocr.dataset_tools.records import guess_layout
from mms_ocr.datasets import WordImageDataset, open_source
from mms_ocr.datasets.sources import LmdbSource, is_lmdb, lmdb_source, open_masked, open_pairs

IMAGES = [encode(word_pixels(number)) for number in range(3)]


def make(path, entries=None, **changes):
    entries = {**(entries or lmdb_entries(IMAGES, ["a", "b", "c"])), **changes}
    return write_lmdb(path, {key: value for key, value in entries.items() if value is not None})


@pytest.mark.parametrize(
    "value", [b"3", b"000000003", b"3 ", b" 3\n", b"3\r\n", b"+3", b"3\0", b"\t003"]
)
def test_other_forms_of_num_samples(tmp_path, value):
    path = make(tmp_path / "w.lmdb", **{"num-samples": value})
    source = open_source(path)
    assert len(source) == 3
    copy = pickle.loads(pickle.dumps(source))  # as loader workers are given it
    assert [copy.read(index, True).text for index in range(3)] == ["a", "b", "c"]


def test_number_in_another_form_with_and_without_workers(tmp_path):
    dataset = WordImageDataset(make(tmp_path / "w.lmdb", **{"num-samples": b"000000003\n"}))
    for workers in (0, 1):
        loader = DataLoader(dataset, num_workers=workers, collate_fn=list)
        assert [item[0]["img_path"][-1] for item in loader] == ["1", "2", "3"]
    assert dataset.num_broken == 0


@pytest.mark.parametrize(
    "value", [b"", b"three", b"-3", b"3.0", b"0", b"1_0", b"++3", b"3 4", b"9" * 5000, b"\x03\0\0"]
)
def test_invalid_num_samples_raises(tmp_path, value):
    with pytest.raises(ValueError, match=r"'num-samples' is .*, and not a positive number"):
        open_source(make(tmp_path / "w.lmdb", **{"num-samples": value}))


def test_missing_or_unnumbered_keys_raise(tmp_path):
    with pytest.raises(ValueError, match=r"'num-samples' is 4, .* no key 'image-000000004'"):
        open_source(make(tmp_path / "a.lmdb", **{"num-samples": b"4"}))
    other = {f"image-{number}": image for number, image in enumerate(IMAGES, start=1)}
    with pytest.raises(ValueError, match="'image-1'"):
        open_source(make(tmp_path / "b.lmdb", {**other, "num-samples": b"3"}))
    from_zero = {f"image-{number:09d}": image for number, image in enumerate(IMAGES)}
    with pytest.raises(ValueError, match="'image-000000000'"):
        open_source(make(tmp_path / "c.lmdb", {**from_zero, "num-samples": b"3"}))


def test_fewer_than_there_are_is_reported(tmp_path, monkeypatch):
    messages: list[str] = []
    monkeypatch.setattr(lmdb_source, "warn", messages.append)
    assert len(open_source(make(tmp_path / "w.lmdb", **{"num-samples": b"2"}))) == 2
    assert "'image-000000003' and any like it are not" in messages[0]


@pytest.fixture
def single_file(tmp_path):
    """An LMDB in one file whose name says nothing."""
    make(tmp_path / "made.lmdb")
    return shutil.copy(tmp_path / "made.lmdb" / "data.mdb", tmp_path / "words.db")


def test_single_file_lmdb_works_everywhere(single_file):
    assert is_lmdb(single_file)
    assert isinstance(open_source(single_file), LmdbSource)
    assert guess_layout(single_file) == "words"
    assert not is_one_image(single_file)
    assert len(list(input_images(single_file))) == 3
    with pytest.raises(ValueError, match="has no masks"):
        open_masked(single_file)
    with pytest.raises(ValueError, match="no key 'image_hr-000000003'"):
        open_pairs(single_file)


def test_labels_of_an_lmdb_in_one_file(single_file, capsys):
    assert cli.main(["labels", str(single_file)]) == 0
    assert "3 words" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "expected"),
    [("w.lmdb", True), ("w.LMDB/", True), ("w.mdb", True), ("w.jsonl", False), ("w", False)],
)
def test_names_of_lmdbs(name, expected):
    assert is_lmdb(f"/no/such/{name}") is expected


@pytest.mark.parametrize("kind", ["folder", "file"])
@pytest.mark.parametrize(
    ("size", "message"),
    [(0, r"is empty \(0 bytes\)"), (10, "cannot open"), (4096, "cannot open"), (None, "truncated")],
)
def test_a_damaged_lmdb_is_refused(tmp_path, kind, size, message):
    path = make(tmp_path / "w.lmdb") / "data.mdb"
    data = path.read_bytes()
    data = data[: 3 * 4096] if size is None else b"\0" * size
    path.write_bytes(data)
    if kind == "file":
        path = tmp_path / "one.mdb"
        path.write_bytes(data)
    else:
        path = path.parent
    with pytest.raises(ValueError, match=message) as raised:
        open_source(path)
    assert "one.mdb" in str(raised.value) or "w.lmdb" in str(raised.value)


def test_the_file_of_an_lmdb_may_be_a_link(tmp_path):
    make(tmp_path / "made.lmdb")
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "data.mdb").symlink_to(tmp_path / "made.lmdb" / "data.mdb")
    assert len(open_source(tmp_path / "words")) == 3


def test_lmdb_version(tmp_path):
    """The bytes that is_lmdb expects are those that this version of LMDB writes."""
    with lmdb.open(str(tmp_path / "any"), subdir=False):
        pass
    assert is_lmdb(tmp_path / "any")
