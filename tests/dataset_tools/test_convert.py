from __future__ import annotations

import multiprocessing
import os
import resource
import signal
from pathlib import Path

import lmdb
import numpy as np
import pytest
from made_images import encode, lmdb_entries, word_pixels, write_lmdb

from mms_ocr.dataset_tools import writer
from mms_ocr.dataset_tools.convert import convert_records
from mms_ocr.dataset_tools.records import (
    Selection,
    SourceRecords,
    guess_layout,
    open_records,
)
from mms_ocr.datasets import open_source

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


def test_labels_are_kept_if_the_first_word_has_none(make_source, tmp_path):
    path = make_source("lmdb", IMAGES, LABELS)
    with lmdb.open(str(path)) as file, file.begin(write=True) as transaction:
        transaction.delete(b"label-000000001")
    with pytest.raises(ValueError, match=r"1 of 9 words .* are broken"):
        convert_records(open_records(str(path), "words"), str(tmp_path / "out.lmdb"))
    result = convert_records(
        open_records(str(path), "words"), str(tmp_path / "out.lmdb"), max_broken=0.2
    )
    assert "label-000000001: the key is missing" in result.broken[0]
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
@pytest.mark.parametrize("reads", [0, 6, 12, 15])
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
