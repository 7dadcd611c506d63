"""The data of an adaptation: what is left out, what is written, and bad input."""

from __future__ import annotations

import json
import shutil
from collections import Counter, namedtuple
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_images import encode, word_pixels

from mms_ocr.apis.adaptation import data as data_module
from mms_ocr.apis.adaptation.data import _set_aside, prepare_data
from mms_ocr.apis.adaptation.facts import describe, read_facts
from mms_ocr.apis.adaptation.words import Word
from mms_ocr.dataset_tools import writer
from mms_ocr.dataset_tools.fingerprints import Fingerprint
from mms_ocr.datasets.sources import open_source
from mms_ocr.utils.dictionaries import read_dictionary
from mms_ocr.utils.progress import silent

KNOWN = list("0123456789abcdefghijklmnopqrstuvwxyz")


@cache
def image(number: int) -> bytes:
    return encode(word_pixels(number, 16, 40))


def near(number: int) -> bytes:
    """Another image that is nearly the same: a brighter and larger one."""
    pixels = cv2.resize(word_pixels(number, 16, 40), (80, 32), interpolation=cv2.INTER_CUBIC)
    return encode(np.clip(pixels * 0.9 + 12, 0, 255).astype(np.uint8))


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def make(make_source):
    """Writes sets by the numbers of their images: crops, words, and test words."""

    def write(kind: str, name: str, images: list, labels: list[str] | None = None) -> str:
        files = [each if isinstance(each, bytes) else image(each) for each in images]
        return str(make_source(kind, files, labels, name=name))

    return write


@pytest.fixture
def sets(make):
    """100 crops, 60 words and no test set."""
    crops = make("folder", "crops", list(range(100)))
    words = make("jsonl", "words", list(range(1000, 1060)), [f"w{n}" for n in range(60)])
    return [crops], [words]


def prepare(unlabelled, labelled, test=(), out="out", progress=silent):
    return prepare_data(unlabelled, labelled, test, Path(out), KNOWN, progress)


def stored(name: str, out="out", labelled=True) -> list[tuple[bytes, str | None]]:
    source = open_source(f"{out}/data/{name}.lmdb")
    return [source.read(index, labelled)[::2] for index in range(len(source))]


def left_out(out="out") -> list[dict]:
    lines = Path(out, "data/left_out.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_what_is_left_out_and_written(make):
    crops = [
        make("folder", "crops", [*range(130), 5, 2000, near(2001), b"broken"]),
        make("lmdb", "more", [1002, *range(130, 140), 7], ["?"] * 12),
    ]
    long, doubled = "x" * 33, "ab" * 10 + "cc" * 5 + "d"
    words = [
        make("jsonl", "first", [*range(1000, 1040), 1003, 1004, 2002, near(2003)],
             ["  w0 ", "e\u0301a b", *(f"W{n}" for n in range(38)), "W1", "other", "t2", "t3"]),
        make("lmdb", "second", [1050, 1051, 1052, 1053], [long, doubled, "ok", ""]),
    ]  # fmt: skip
    tested = make("jsonl", "test", range(2000, 2030), [f"t{n}\n" for n in range(29)] + [long + "€"])
    facts = prepare(crops, words, [tested])
    counts = facts.unlabelled
    assert (counts.given, counts.broken, counts.repeated) == (146, 1, 2)
    assert (counts.left_out, counts.used) == (2, 141)
    counts = facts.labelled
    assert (counts.given, counts.broken, counts.repeated, counts.contradicting) == (48, 1, 1, 2)
    assert (counts.left_out, counts.too_long, counts.set_aside, counts.used) == (2, 2, 0, 40)
    assert (facts.test.given, facts.test.used, facts.held_out) == (30, 30, False)
    assert (facts.new_characters, facts.unknown_test_characters) == (" Wé", "€")
    assert (facts.distinct_labels, facts.distinct_test_labels) == (40, 30)
    assert facts.labelled.median_height == 16
    assert facts.labelled.paths == words

    expected = [*range(130), 1002, *range(130, 140)]
    crops = [data for data, _ in stored("unlabelled", labelled=False)]
    assert crops[-11:] == list(map(image, expected[-11:]))
    assert sorted(crops) == sorted(map(image, expected))
    labels = ["w0", "éa b", "W0", "W1", *(f"W{n}" for n in range(3, 38)), "ok"]
    numbers = [*range(1000, 1004), *range(1005, 1040), 1052]
    assert sorted(stored("labelled")) == sorted(zip(map(image, numbers), labels))
    assert [text for _, text in stored("test")] == [*(f"t{n}" for n in range(29)), long + "€"]
    names = Path("out/data/test_names.txt").read_text().splitlines()
    assert [Path(name).read_bytes() for name in names] == [data for data, _ in stored("test")]

    rows = left_out()
    kinds = Counter((row["set"], row["kind"]) for row in rows)
    assert kinds == {
        ("unlabelled", "broken"): 1, ("unlabelled", "file"): 1, ("unlabelled", "near"): 1,
        ("labelled", "broken"): 1, ("labelled", "file"): 1, ("labelled", "near"): 1,
        ("labelled", "contradicting"): 2, ("labelled", "too_long"): 2,
    }  # fmt: skip
    match = next(row for row in rows if (row["set"], row["kind"]) == ("unlabelled", "near"))
    assert (Path(match["image"]).read_bytes(), match["test_image"]) == (near(2001), names[1])
    assert 0 < match["distance"] <= 0.2
    assert [row["label"] for row in rows if row["kind"] == "contradicting"] == ["W2", "other"]
    assert sorted(Path("out/data/words.txt").read_text().split("\n")[:-1]) == sorted(labels)
    assert read_dictionary("out/characters.txt") == [*KNOWN, " ", "W", "é"]
    assert any("141" in line for line in describe(facts))
    assert any("not an image" in line or "broken" in line for line in describe(facts))
    assert read_facts(Path("out")) == facts


def test_labels_may_be_in_the_folder_of_the_crops(make):
    Path(make("jsonl", "crops", range(1000, 1060), LABELS)).rename("crops/labels.jsonl")
    make("folder", "crops/more", range(100))
    facts = prepare(["crops"], ["crops"])
    assert (facts.unlabelled.given, facts.labelled.given, facts.test.used) == (160, 60, 20)
    assert (facts.unlabelled.left_out, facts.unlabelled.used) == (20, 140)
    test = {data for data, _ in stored("test")}
    assert not test & {data for data, _ in stored("unlabelled", labelled=False)}


def test_dictionary_file_is_that_of_mmocr(sets):
    dictionary = pytest.importorskip("mmocr.models.common.dictionary").Dictionary
    words = Path(sets[1][0])
    text = words.read_text().replace('"w0"', '"w 0é"').replace('"w1"', r'"w\u0085x"')
    words.write_text(text.replace('"w2"', r'"\u00a0w2\u2028"'))
    facts = prepare(*sets)
    assert (facts.labelled.broken, facts.labelled.given) == (1, 60)
    assert dictionary(dict_file="out/characters.txt").dict == [*KNOWN, *facts.new_characters]
    labels = {text for name in ("labelled", "test") for _, text in stored(name)}
    assert labels == {"w 0é", "w2", *(f"w{n}" for n in range(3, 60))}


def test_test_part_depends_on_the_files_alone():
    hashes = np.random.default_rng(0).integers(0, 2**64, 20_000, dtype=np.uint64).tolist()
    words = [Word(0, Fingerprint(index, file=value)) for index, value in enumerate(hashes)]
    parts = {}
    for count in (40, 90, 1000, 3000, 20_000):
        parts[count], rest = map(set, map(ids, _set_aside(words[:count])))
        assert parts[count] | rest == set(range(count))
        assert not parts[count] & rest
        again, _ = _set_aside(words[:count][::-1])
        assert set(ids(again)) == parts[count]
    assert [len(parts[count]) for count in (40, 90, 20_000)] == [20, 20, 2000]
    assert 160 < len(parts[1000]) < 240
    assert parts[1000] == {index for index in parts[3000] if index < 1000}


def ids(words):
    return [word.image.index for word in words]


def test_copies_under_other_names_are_on_one_side(make, sets):
    crops, _ = sets
    numbers, labels = [*range(1000, 1060)], [f"w{n}" for n in range(60)]
    words = make("jsonl", "twice", [*numbers, *numbers, *map(near, numbers)], labels * 3)
    facts = prepare(crops, [words])
    assert (facts.labelled.repeated, facts.labelled.given) == (60, 180)
    test = {text for _, text in stored("test")}
    train = {text for _, text in stored("labelled")}
    assert not test & train
    assert len(test | train) == 60
    assert facts.labelled.left_out > 0


def test_finished_data_are_not_read_again(sets, monkeypatch):
    facts = prepare(*sets)
    shutil.rmtree("words")
    assert prepare(*sets) == facts
    Path("out/data/facts.json").write_text('{"labelled": 3}')
    with pytest.raises(ValueError, match=r"facts\.json is damaged"):
        prepare(*sets)


class Killed(BaseException):
    pass


def test_killed_at_any_moment_it_resumes(sets, monkeypatch):
    monkeypatch.setattr(writer, "_CHUNK_WORDS", 7)
    expected = prepare(*sets, out="whole")
    left = kills = 0

    def progress(indices, title, total):
        nonlocal left
        for index in indices:
            left -= 1
            if left < 0:
                raise Killed
            yield index

    for left in (3, 150, 190, 240, 262, 270, 100_000):  # noqa: B007, used by progress
        try:
            assert prepare(*sets, progress=progress) == expected
        except Killed:
            kills += 1
            assert read_facts(Path("out")) is None
    assert kills == 6
    Path("out/data/facts.json").unlink()  # as if killed just before it was written
    Path("out/data/test.lmdb.part").mkdir()
    assert prepare(*sets) == expected
    for name in ("unlabelled", "labelled", "test"):
        assert stored(name, labelled=False) == stored(name, "whole", labelled=False)
    assert {path.name for path in Path("out/data").iterdir()} == {
        path.name for path in Path("whole/data").iterdir()
    }


def test_changed_images_are_written_anew(sets, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(data_module, "write_facts", lambda *_: 1 / 0)  # killed just before the end
        with pytest.raises(ZeroDivisionError):
            prepare(*sets)
    Path(sets[0][0]).joinpath("new.png").write_bytes(image(5000))
    facts = prepare([str(Path(sets[0][0]).absolute())], [str(Path(sets[1][0]).absolute())])
    assert facts.unlabelled.used == 101
    assert image(5000) in [data for data, _ in stored("unlabelled", labelled=False)]


NUMBERS, LABELS = range(1000, 1060), [f"w{n}" for n in range(60)]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (dict(crops=[]), ValueError, "no unlabelled images"),
        (dict(crops=["missing"]), FileNotFoundError, "missing"),
        (dict(words=["crops"]), ValueError, "crops has no labels"),
        (dict(test=["crops"]), ValueError, "crops has no labels"),
        (dict(labels=["same"] * 60), ValueError, "all 60 training labels are 'same'"),
        (dict(labels=[" "] * 60), ValueError, r"60 of 60 labelled .*\.png: the label is empty"),
        (dict(labels=["a\nb"] * 4 + LABELS[4:]), ValueError, r"4 of 60 labelled .*'a\\nb' has con"),
        (dict(numbers=range(1000, 1039)), ValueError, "39 of 39 labelled .* least 40 are needed"),
        (dict(numbers=range(1000, 1019), test=["test"]), ValueError, "19 of 19 .* 20 are needed"),
        (dict(test=["words/words.jsonl"]), ValueError, "0 of 60 labelled .* 60 test images"),
        (
            dict(few=80),
            ValueError,
            "80 unlabelled .* 40 labelled .* 128 images",
        ),
        (dict(few=19), ValueError, "19 unlabelled crops and 40 labelled words"),
        (dict(broken=6), ValueError, r"6 of 106 unlabelled .*crops"),
        (dict(out="crops/out"), ValueError, "the output folder crops/out is in the data crops"),
        (dict(out="."), ValueError, r"the data crops are in the output folder \."),
    ],
)
def test_bad_input_is_reported_before_anything_is_written(make, changes, error, message):
    numbers = changes.get("numbers", NUMBERS)
    files = [*range(changes.get("few", 100)), *[b"no image"] * changes.get("broken", 0)]
    make("folder", "crops", files)
    make("jsonl", "words", numbers, changes.get("labels", LABELS)[: len(numbers)])
    make("jsonl", "test", range(3000, 3020), LABELS[:20])
    before = sorted(Path().rglob("*"))
    names = changes.get("test", [])
    test = ["test/words.jsonl" if name == "test" else name for name in names]
    crops = changes.get("crops", ["crops"])
    words = changes.get("words", ["words/words.jsonl"])
    with pytest.raises(error, match=message) as caught:
        prepare(crops, words, test, out=changes.get("out", "out"))
    assert "\n" not in str(caught.value)
    assert sorted(Path().rglob("*")) == before


def test_missing_images_are_counted(sets):
    folder = Path(sets[1][0]).parent
    for path in sorted(folder.glob("*.png"))[:4]:
        path.unlink()
    with pytest.raises(ValueError, match=r"4 of 60 labelled .*; the first: .*No such file"):
        prepare(*sets)
    assert not Path("out").exists()


def test_full_disk_is_noticed_before_anything_is_written(sets, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 9 * 10**8, 10**8))
    with pytest.raises(OSError, match="needs about 301 MB, and 100 MB are free"):
        prepare(*sets)
    assert not Path("out").exists()


def test_other_sets_in_the_folder_are_kept(sets, make):
    Path("out/data").mkdir(parents=True)
    path = Path(make("lmdb", "mine", [1], ["a"])).rename("out/data/labelled.lmdb")
    with pytest.raises(FileExistsError, match=r"labelled\.lmdb exists"):
        prepare(*sets)
    assert path.exists()


def test_repeated_and_contradicting_test_images_are_not_used(make):
    words = make("jsonl", "words", range(1000, 1160), [f"w{n}" for n in range(160)])
    tests = [*range(2000, 2030), 2000, 2001]
    test = make("jsonl", "test", tests, [*(f"t{n}" for n in range(30)), "t0", "other"])
    facts = prepare([make("folder", "crops", range(100))], [words], [test])
    counts = facts.test
    assert (counts.given, counts.repeated, counts.contradicting, counts.used) == (32, 1, 2, 29)
    assert [text for _, text in stored("test")] == ["t0", *(f"t{n}" for n in range(2, 30))]


def test_characters_that_cannot_be_seen_are_named(sets):
    words = Path(sets[1][0])
    words.write_text(words.read_text().replace('"w', r'"w\u200b '))
    lines = list(describe(prepare(*sets)))
    assert "new characters of the training labels: (space) U+200B" in lines
