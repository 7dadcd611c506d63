from __future__ import annotations

import json
import multiprocessing
import os
import re
import resource
import signal
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from made_images import encode, lmdb_entries, word_pixels, write_lmdb

from mms_ocr.dataset_tools import layouts, writer
from mms_ocr.dataset_tools.convert import convert_records
from mms_ocr.dataset_tools.records import (
    Selection,
    SourceRecords,
    guess_layout,
    open_records,
)
from mms_ocr.datasets import open_source
from mms_ocr.datasets.sources import LmdbSource

IMAGES = [encode(word_pixels(number), ".jpg" if number % 2 else ".png") for number in range(9)]
LABELS = [f"wört {number}\n" for number in range(9)]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(writer, "_CHUNK_WORDS", 2)


def entries_of(path: Path) -> dict[str, bytes]:
    with lmdb.open(str(path), readonly=True, lock=False) as file, file.begin() as transaction:
        return {bytes(key).decode(): bytes(value) for key, value in transaction.cursor()}


def contents(records) -> list:
    return [records.read(index) for index in range(len(records))]


@pytest.mark.parametrize("labels", [LABELS, None])
@pytest.mark.parametrize(
    ("kind", "outs"),
    [("folder", ["a.lmdb", "b"]), ("lmdb", ["a", "b.lmdb"]), ("jsonl", ["a.lmdb", "b", "c.lmdb"])],
)
def test_round_trip(make_source, tmp_path, kind, outs, labels):
    if kind == "folder" and labels:
        pytest.skip("folders have no labels")
    source = open_records(str(make_source(kind, IMAGES, labels)), "words")
    expected = contents(source)
    for out in outs:
        out = tmp_path / out
        assert convert_records(source, str(out)).written == 9
        source = open_records(str(out if out.suffix == ".lmdb" else out / "labels.jsonl"), "words")
        assert contents(source) == expected
        assert not out.with_name(out.name + ".part").exists()
        names = {file.name for file in out.iterdir()}
        assert names == ({"data.mdb"} if out.suffix == ".lmdb" else {"image", "labels.jsonl"})


def test_the_data_root_holds_absolute_file_names(tmp_path):
    (tmp_path / "lists").mkdir()
    image = tmp_path / "word.png"
    image.write_bytes(IMAGES[0])
    lines = tmp_path / "lists" / "words.jsonl"
    lines.write_text(json.dumps(dict(filename=str(image), text="word")) + "\n")
    records = open_records(str(lines), data_root=str(tmp_path))
    assert records.read(0).images["image"] == IMAGES[0]
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / "lists"))):
        open_records(str(lines))


def test_lmdb_has_the_usual_keys_only(make_source, tmp_path):
    source = open_records(str(make_source("jsonl", IMAGES[:2], LABELS[:2])), "words")
    convert_records(source, str(tmp_path / "out.lmdb"))
    assert entries_of(tmp_path / "out.lmdb") == lmdb_entries(IMAGES[:2], LABELS[:2])


def test_masks_and_pairs_keep_their_kinds(tmp_path):
    masks = [encode(word_pixels(number)[:, :, 0]) for number in range(9)]
    entries = lmdb_entries(IMAGES, LABELS)
    entries |= {f"mask-{number:09d}": mask for number, mask in enumerate(masks, 1)}
    with_masks = open_records(str(write_lmdb(tmp_path / "masks.lmdb", entries)), "words")
    pairs = {key.replace("image-", "image_hr-"): entries[key] for key in entries}
    pairs = {key.replace("mask-", "image_lr-"): value for key, value in pairs.items()}
    zoom = open_records(str(write_lmdb(tmp_path / "zoom.lmdb", pairs)), "textzoom")
    assert contents(zoom)[3].images == {"image_hr": IMAGES[3], "image_lr": masks[3]}
    for source, layout in [(with_masks, "words"), (zoom, "textzoom")]:
        folder, back = str(tmp_path / layout), str(tmp_path / f"{layout}-back.lmdb")
        convert_records(source, folder)
        annotations = os.path.join(folder, "labels.jsonl")
        assert guess_layout(annotations) == guess_layout(source.path) == layout
        convert_records(open_records(annotations, layout), back)
        assert contents(open_records(back, layout)) == contents(source)
    # The high resolutions alone serve as word images, as every reader of JSON lines finds them.
    assert open_source(str(tmp_path / "textzoom" / "labels.jsonl")).read(4).data == IMAGES[4]


def test_pairs_in_two_folders(tmp_path):
    for folder, images in (("hr", IMAGES[:4]), ("lr", IMAGES[4:8])):
        for number, image in enumerate(images):
            file = tmp_path / "pairs" / folder / f"{number}{'.jpg' if number % 2 else '.png'}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(image)
    path = str(tmp_path / "pairs")
    assert guess_layout(path) == "textzoom"
    convert_records(open_records(path, "textzoom"), str(tmp_path / "out.lmdb"))
    expected = {f"image_hr-{number:09d}": image for number, image in enumerate(IMAGES[:4], 1)}
    expected |= {f"image_lr-{number:09d}": image for number, image in enumerate(IMAGES[4:8], 1)}
    assert entries_of(tmp_path / "out.lmdb") == {**expected, "num-samples": b"4"}


def test_broken_images_are_left_out_and_reported(make_source, tmp_path):
    broken = [*IMAGES[:4], b"broken", *IMAGES[4:], b""]
    source = open_records(str(make_source("lmdb", broken, ["x"] * 11)), "words")
    with pytest.raises(ValueError, match=r"2 of 11 words .* are broken, more than the accepted"):
        convert_records(source, str(tmp_path / "out.lmdb"))
    assert not (tmp_path / "out.lmdb").exists()
    result = convert_records(source, str(tmp_path / "out.lmdb"), max_broken=0.2)
    assert result.written == 9
    assert "image-000000005: not an image" in result.broken[0]
    assert "image-000000011: the value is empty" in result.broken[1]
    assert [
        r.images["image"] for r in contents(open_records(str(tmp_path / "out.lmdb"), "words"))
    ] == IMAGES


def test_a_selection(make_source, tmp_path):
    source = open_records(str(make_source("lmdb", IMAGES, LABELS)), "words")
    convert_records(Selection(source, [7, 2]), str(tmp_path / "out.lmdb"))
    back = open_records(str(tmp_path / "out.lmdb"), "words")
    assert contents(back) == [source.read(7), source.read(2)]


@pytest.mark.parametrize("kind", ["lmdb", "jsonl"])
def test_labels_are_kept_if_the_first_word_has_none(make_source, tmp_path, kind):
    path = make_source(kind, IMAGES, LABELS)
    if kind == "lmdb":
        with lmdb.open(str(path)) as file, file.begin(write=True) as transaction:
            transaction.delete(b"label-000000001")
    else:
        first, *others = path.read_text().splitlines(keepends=True)
        path.write_text(
            "".join([json.dumps(dict(filename=json.loads(first)["filename"])) + "\n", *others])
        )
    with pytest.raises(ValueError, match=r"1 of 9 words .* are broken"):
        convert_records(open_records(str(path), "words"), str(tmp_path / "out.lmdb"))
    result = convert_records(
        open_records(str(path), "words"), str(tmp_path / "out.lmdb"), max_broken=0.2
    )
    assert re.search(r"label-000000001: the key is missing|'text'", result.broken[0])
    converted = contents(open_records(str(tmp_path / "out.lmdb"), "words"))
    assert [record.text for record in converted] == LABELS[1:]


# --- stops, full disks, other processes ----------------------------------------------------------


class Stopping(SourceRecords):
    """Interrupted after some reads."""

    def __init__(self, path: str, reads: int) -> None:
        super().__init__(open_source(path), ("image",))
        self.reads = reads

    def read(self, index):
        if self.reads == 0:
            raise KeyboardInterrupt
        self.reads -= 1
        return super().read(index)


@pytest.mark.parametrize("out", ["out.lmdb", "out"])
@pytest.mark.parametrize("reads", range(0, 18, 3))
def test_an_interrupted_conversion_resumes(make_source, tmp_path, out, reads):
    path = str(make_source("lmdb", [*IMAGES[:5], b"broken", *IMAGES[5:]], ["x", *LABELS]))
    out = tmp_path / out
    with pytest.raises(KeyboardInterrupt):
        convert_records(Stopping(path, reads), str(out), max_broken=1)
    assert not out.exists()
    counting = Stopping(path, 10**6)
    assert convert_records(counting, str(out), max_broken=1).written == 9
    # All are read to verify them; to be written, only those after the last whole chunk. Chunks are
    # of two words, and word 5 is broken.
    committed = max(position for position in (0, 2, 4, 7, 9, 10) if position <= reads)
    assert 10**6 - counting.reads == (10 - committed) + 10
    back = open_records(str(out if out.suffix else out / "labels.jsonl"), "words")
    assert [record.images["image"] for record in contents(back)] == IMAGES


def on_a_full_disk(path: str, out: str, limit: int, errors) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        convert_records(open_records(path, "words"), out)
    except OSError as error:
        errors.put(str(error))
    errors.put("none")


@pytest.mark.parametrize("out", ["out.lmdb", "out"])
def test_full_disk_gives_one_line_and_loses_nothing(make_source, tmp_path, out):
    images = [encode(word_pixels(number, 64, 64 + 20 * number)) for number in range(9)]
    path, out = str(make_source("jsonl", images)), tmp_path / out
    context = multiprocessing.get_context("fork")
    errors = context.Queue()
    # No file may grow beyond this: as good as a full disk, for one process alone.
    process = context.Process(target=on_a_full_disk, args=(path, str(out), 30_000, errors))
    process.start()
    message = errors.get(timeout=60)
    process.join()
    assert "make room and repeat the command" in message
    assert "\n" not in message
    assert not out.exists()
    assert convert_records(open_records(path, "words"), str(out)).written == 9


def test_an_lmdb_grows(make_source, tmp_path, monkeypatch):
    monkeypatch.setattr(layouts, "_FIRST_MAP_SIZE", 1 << 16)
    images = [encode(word_pixels(number, 64, 500)) for number in range(9)]
    source = open_records(str(make_source("folder", images)), "words")
    convert_records(source, str(tmp_path / "out.lmdb"))
    assert contents(open_records(str(tmp_path / "out.lmdb"), "words")) == contents(source)


@pytest.mark.parametrize("out", ["out.lmdb", "out"])
def test_changes_after_writing_raise(make_source, tmp_path, monkeypatch, out):
    source, out = open_records(str(make_source("lmdb", IMAGES, LABELS)), "words"), tmp_path / out

    class Changing(SourceRecords):
        reads = 0

        def read(self, index):
            self.reads += 1
            changed = self.reads > len(IMAGES) and index == 5
            return source.read(0 if changed else index)

    with pytest.raises(OSError, match=r"word 5 of .* differs"):
        convert_records(Changing(open_source(source.path), ("image",)), str(out))
    assert not out.exists()


def test_another_source_or_selection_is_not_mixed_in(make_source, tmp_path):
    first = str(make_source("lmdb", IMAGES, name="first"))
    second = str(make_source("lmdb", IMAGES, name="second"))
    with pytest.raises(KeyboardInterrupt):
        convert_records(Selection(Stopping(first, 2), [1, 2, 3]), str(tmp_path / "out"))
    with pytest.raises(ValueError, match="begun with other options"):
        convert_records(open_records(second, "words"), str(tmp_path / "out"))
    with pytest.raises(ValueError, match="begun with other options"):
        convert_records(Selection(open_records(first, "words"), [1, 2, 4]), str(tmp_path / "out"))
    whole = Selection(open_records(first, "words"), np.array([1, 2, 3]))
    assert convert_records(whole, str(tmp_path / "out")).written == 3
    back = open_records(str(tmp_path / "out"), "words")
    assert [record.images["image"] for record in contents(back)] == IMAGES[1:4]


def test_folder_with_lost_labels_starts_from_scratch(make_source, tmp_path):
    path, out = str(make_source("lmdb", IMAGES, LABELS)), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        convert_records(Stopping(path, 5), str(out))
    (tmp_path / "out.part" / "set" / "labels.jsonl").unlink()
    assert convert_records(open_records(path, "words"), str(out)).written == 9
    assert contents(open_records(str(out / "labels.jsonl"), "words")) == contents(
        open_records(path, "words")
    )


@pytest.mark.parametrize("out", ["out.lmdb", "out"])
def test_lock_is_held_until_the_set_is_renamed(make_source, tmp_path, monkeypatch, out):
    source, out = open_records(str(make_source("lmdb", IMAGES)), "words"), tmp_path / out
    renamed = []

    def rename(part, path):
        with pytest.raises(BlockingIOError, match="another process is writing"):
            convert_records(source, str(out))
        renamed.append(path)
        replace(part, path)

    replace = writer.replace
    monkeypatch.setattr(writer, "replace", rename)
    convert_records(source, str(out))
    assert renamed == [out]
    assert [path.name for path in tmp_path.glob("out*")] == [out.name]
    with pytest.raises(FileExistsError, match=out.name):
        convert_records(source, str(out))


def test_places_that_cannot_be_written_to(make_source, tmp_path):
    source = open_records(str(make_source("lmdb", IMAGES)), "words")
    with pytest.raises(FileExistsError, match="exists; remove it"):
        convert_records(source, str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere"):
        convert_records(source, str(tmp_path / "nowhere" / "out.lmdb"))
    with pytest.raises(ValueError, match=r"out\.jsonl is the name of a file"):
        convert_records(source, str(tmp_path / "out.jsonl"))


@pytest.fixture
def textseg(tmp_path) -> Path:
    root = tmp_path / "TextSeg"
    for folder in ("image", "annotation", "semantic_label"):
        (root / folder).mkdir(parents=True)
    boxes = {
        "a1": [[10, 5, 50, 5, 50, 25, 10, 25], [60, 10, 90, 20, 85, 35, 55, 25]],
        "a2": [[-4, -3, 30, 0, 30, 20.5, 0, 20]],
    }
    for number, tag in enumerate(["a1", "a2", "a3"]):
        cv2.imwrite(str(root / "image" / f"{tag}.jpg"), word_pixels(number, 40, 100))
        mask = np.random.default_rng(number).choice([0, 100, 200, 255], (40, 100)).astype(np.uint8)
        cv2.imwrite(str(root / "semantic_label" / f"{tag}_maskfg.png"), mask)
        words = {
            str(place): {"text": f"{tag}-{place}", "bbox": box, "char": {}}
            for place, box in enumerate(boxes.get(tag, []))
        }
        (root / "annotation" / f"{tag}_anno.json").write_text(json.dumps(words))
    (root / "split.json").write_text(json.dumps(dict(train=["a1"], val=["a3"], test=["a2"])))
    return root


def test_textseg_crops_by_value(textseg, tmp_path):
    assert guess_layout(str(textseg)) == "textseg"
    records = open_records(str(textseg), "textseg", splits=["train", "test"])
    convert_records(records, str(tmp_path / "out.lmdb"))
    words = open_source(tmp_path / "out.lmdb")
    masks = LmdbSource(str(tmp_path / "out.lmdb"), image_key="mask-%09d")
    assert [words.read(index, True).text for index in range(3)] == ["a1-0", "a1-1", "a2-0"]
    places = [("a1", np.s_[5:25, 10:50]), ("a1", np.s_[10:35, 55:90]), ("a2", np.s_[0:21, 0:30])]
    for index, (tag, place) in enumerate(places):
        image = cv2.imread(str(textseg / "image" / f"{tag}.jpg"))[place]
        mask = cv2.imread(str(textseg / "semantic_label" / f"{tag}_maskfg.png"), -1)[place]
        for source, expected in [(words, image), (masks, mask)]:
            crop = cv2.imdecode(np.frombuffer(source.read(index).data, np.uint8), -1)
            np.testing.assert_array_equal(crop, expected)
