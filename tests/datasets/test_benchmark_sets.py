"""BenchmarkDataset: several labelled sets in one, and the message about missing ones."""

import json
import pickle

import numpy as np
import pytest
from made_images import encode, lmdb_entries, word_pixels, write_jsonl, write_lmdb

from mms_ocr.datasets import BenchmarkDataset
from mms_ocr.datasets.benchmark import find_labelled_set


def images(first, count):
    return [encode(word_pixels(number)) for number in range(first, first + count)]


@pytest.fixture
def root(tmp_path):
    write_lmdb(tmp_path / "A.lmdb", lmdb_entries(images(0, 3), list("abc")))
    write_lmdb(tmp_path / "B", lmdb_entries(images(3, 2), list("de")))
    write_jsonl(tmp_path / "C" / "annotation.jsonl", images(5, 4), list("fghi"))
    return tmp_path


SETS = dict(
    a=dict(path="A", title="A!", images=3),
    b=dict(path="B", in_average=False),
    c=dict(path="C"),
)


def test_copies_open_the_files_again(root):
    """Also one LMDB that is in two of the sets."""
    twice = {**SETS, "again": dict(path="A.lmdb")}
    dataset = BenchmarkDataset(twice, root=str(root))
    blob = pickle.dumps(dataset)
    assert b"fghi" not in blob
    assert len(blob) < 20_000
    copy = pickle.loads(blob)
    for index in range(12):
        assert copy[index]["text"] == dataset[index]["text"] == "abcdefghiabc"[index]


def spans(dataset):
    parts = dataset.metainfo["benchmark"]["sets"]
    return [(part["name"], part["start"], part["stop"]) for part in parts]


def test_sets_follow_each_other(root):
    dataset = BenchmarkDataset(SETS, root=str(root))
    assert [dataset[index]["text"] for index in range(9)] == list("abcdefghi")
    assert [dataset[index]["sample_idx"] for index in range(9)] == list(range(9))
    for index in range(9):
        assert np.array_equal(dataset[index]["img"], word_pixels(index))
    benchmark = dataset.metainfo["benchmark"]
    assert spans(dataset) == [("a", 0, 3), ("b", 3, 5), ("c", 5, 9)]
    assert [part["title"] for part in benchmark["sets"]] == ["A!", "b", "c"]
    assert [part["expected"] for part in benchmark["sets"]] == [3, None, None]
    assert [part["in_average"] for part in benchmark["sets"]] == [True, False, True]
    assert benchmark["max_broken"] == 0.01


def test_some_of_the_sets_and_held_out_parts(root):
    dataset = BenchmarkDataset(SETS, root=str(root), chosen=["c", "a"])
    assert spans(dataset) == [("a", 0, 3), ("c", 3, 7)]
    assert [dataset[index]["text"] for index in range(7)] == list("abcfghi")
    parts = [
        BenchmarkDataset(SETS, root=str(root), holdout=dict(share=0.4, part=part))
        for part in ("train", "val")
    ]
    texts: dict[str, list[str]] = {"a": [], "b": [], "c": []}
    for part in parts:
        for name, start, stop in spans(part):
            texts[name] += [part[index]["text"] for index in range(start, stop)]
        assert stop == len(part)
    assert {name: "".join(sorted(read)) for name, read in texts.items()} == dict(
        a="abc", b="de", c="fghi"
    )


def test_all_missing_sets_are_named(root):
    sets = {
        **SETS,
        "d": dict(path="D", origin="from the moon"),
        "e": dict(path=str(root / "elsewhere")),
        "f": dict(path="bare"),
    }
    (root / "bare").mkdir()
    with pytest.raises(FileNotFoundError) as error:
        BenchmarkDataset(sets, root=str(root))
    message = str(error.value)
    assert "3 of 6 test sets are missing" in message
    assert f"d at {root}/D (from the moon)" in message
    assert f"e at {root}/elsewhere;" in message
    assert f"f at {root}/bare (a folder without labels)" in message
    assert "Present: a, b, c;" in message
    assert len(BenchmarkDataset(sets, root=str(root), chosen="abc")) == 9


def test_a_set_is_found_by_what_it_is_stored_as(root):
    assert find_labelled_set(str(root / "A")) == str(root / "A.lmdb")
    assert find_labelled_set(str(root / "A.lmdb")) == str(root / "A.lmdb")
    assert find_labelled_set(str(root / "B")) == str(root / "B")
    assert find_labelled_set(str(root / "C")) == str(root / "C" / "annotation.jsonl")
    write_jsonl(root / "A.jsonl", images(0, 1), ["a"])
    with pytest.raises(ValueError, match=r"A\.lmdb and .*A\.jsonl"):
        find_labelled_set(str(root / "A"))
    write_jsonl(root / "C.jsonl", images(0, 1), ["a"])
    assert find_labelled_set(str(root / "C")) == str(root / "C.jsonl"), "converted comes first"
    (root / "E").mkdir()
    with pytest.raises(FileNotFoundError, match="no test set at"):
        find_labelled_set(str(root / "E"))


@pytest.mark.parametrize(
    ("sets", "chosen", "message"),
    [
        ({}, None, "at least one test set"),
        (SETS, ["a", "x"], "no test set x here: there are a, b, c"),
    ],
)
def test_impossible_choices(root, sets, chosen, message):
    with pytest.raises(ValueError, match=message):
        BenchmarkDataset(sets, root=str(root), chosen=chosen)


def test_selected_images_count_in_their_sets(root):
    dataset = BenchmarkDataset(SETS, root=str(root), indices=[0, 2, 4, 8])
    assert spans(dataset) == [("a", 0, 2), ("b", 2, 3), ("c", 3, 4)]
    assert [dataset[index]["text"] for index in range(4)] == list("acei")
    for indices in ([8, 0, 2], [0, 0, 4]):
        with pytest.raises(ValueError, match="indices of a benchmark have to ascend"):
            BenchmarkDataset(SETS, root=str(root), indices=indices)


def test_a_set_without_labels_or_readable_images_is_refused(root):
    write_lmdb(root / "U.lmdb", lmdb_entries(images(0, 2)))
    with pytest.raises(ValueError, match="has no labels"):
        BenchmarkDataset({"u": dict(path="U")}, root=str(root))
    lines = [json.dumps(dict(filename=f"C/nothing/{n}.png", text="a")) for n in range(3)]
    (root / "W.jsonl").write_text("\n".join(lines))
    with pytest.raises(ValueError, match="test set w: none of the first 3 words"):
        BenchmarkDataset({"w": dict(path="W")}, root=str(root))
