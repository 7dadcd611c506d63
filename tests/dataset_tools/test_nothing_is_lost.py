"""What conversion and decontamination keep, and what they say of the rest."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
from made_images import encode, lmdb_entries, word_pixels, write_lmdb

from mms_ocr.cli.main import main
from mms_ocr.dataset_tools import render, writer
from mms_ocr.dataset_tools.records import MasksAsTextSeg, open_records
from mms_ocr.dataset_tools.survey import survey_source
from mms_ocr.datasets import open_source

IMAGES = [encode(word_pixels(number)) for number in range(6)]
SMALL = [encode(word_pixels(number)[::2, ::2].copy()) for number in range(6)]
MASKS = [encode(word_pixels(number)[:, :, 0]) for number in range(6)]


def write_lines(folder: Path, lines: list[dict], **kinds: list[bytes]) -> str:
    """Write ``KIND/N.png`` and ``words.jsonl`` with the given lines."""
    for kind, images in kinds.items():
        (folder / kind).mkdir(parents=True)
        for number, image in enumerate(images):
            (folder / kind / f"{number}.png").write_bytes(image)
    path = folder / "words.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def last_lines(capsys, count: int) -> list[str]:
    return capsys.readouterr().out.splitlines()[-count:]


@pytest.fixture
def pairs(tmp_path) -> dict[str, str]:
    """The same pairs of resolutions in every layout, without labels."""
    names = [{"image_hr": f"hr/{n}.png", "image_lr": f"lr/{n}.png"} for n in range(6)]
    lines = [dict(line, filename=line["image_hr"]) for line in names]
    write_lines(tmp_path / "pairs", lines, hr=IMAGES, lr=SMALL)
    entries = {f"image_hr-{n:09d}": image for n, image in enumerate(IMAGES, 1)}
    entries |= {f"image_lr-{n:09d}": image for n, image in enumerate(SMALL, 1)}
    write_lmdb(tmp_path / "pairs.lmdb", {**entries, "num-samples": b"6"})
    folder = tmp_path / "pairs"
    return dict(jsonl=f"{folder}/words.jsonl", folder=str(folder), lmdb=f"{folder}.lmdb")


@pytest.fixture
def test_set(tmp_path) -> str:
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "2.png").write_bytes(IMAGES[2])
    return str(tmp_path / "test")


@pytest.mark.parametrize("layout", ["jsonl", "folder", "lmdb"])
@pytest.mark.parametrize("out", ["clean", "clean.lmdb"])
def test_decontaminated_pairs_are_pairs(pairs, test_set, tmp_path, layout, out):
    clean = str(tmp_path / out)
    assert main(["decontaminate", pairs[layout], "--against", test_set, "--out", clean]) == 0
    records = open_records(clean)
    expected = [{"image_hr": IMAGES[n], "image_lr": SMALL[n]} for n in (0, 1, 3, 4, 5)]
    assert [records.read(index).images for index in range(len(records))] == expected


def test_pairs_in_an_lmdb_are_read_as_their_high_resolution(pairs, test_set, caplog):
    source = open_source(pairs["lmdb"])
    assert [source.read(index).data for index in range(6)] == IMAGES
    assert "high resolution" in caplog.text
    assert main(["decontaminate", test_set, "--against", pairs["lmdb"]]) == 1


def test_images_with_masks_in_two_folders_are_decontaminated(test_set, tmp_path):
    write_lines(tmp_path / "words", [], image=IMAGES, mask=MASKS)
    (tmp_path / "words" / "words.jsonl").unlink()
    words, clean = str(tmp_path / "words"), str(tmp_path / "clean")
    assert main(["decontaminate", words, "--against", test_set, "--out", clean]) == 0
    records = open_records(clean)
    expected = [dict(image=IMAGES[n], mask=MASKS[n]) for n in (0, 1, 3, 4, 5)]
    assert [records.read(index).images for index in range(len(records))] == expected


def test_images_are_compared_also_where_masks_are_missing(test_set, tmp_path, capsys):
    write_lines(tmp_path / "words", [], image=IMAGES, mask=MASKS[:5])
    (tmp_path / "words" / "words.jsonl").unlink()
    command = ["decontaminate", str(tmp_path / "words"), "--against", test_set]
    assert main(command) == 1
    assert "1 of 6 training images" in capsys.readouterr().out
    assert main([*command, "--out", str(tmp_path / "clean")]) == 2
    assert "has no pair of the same name in 'mask'" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["convert", "decontaminate"])
def test_boxes_and_clean_versions_are_kept(tmp_path, test_set, command):
    options = ["--against", test_set, "--out"] if command == "decontaminate" else []
    extras = ["--extras", "clean", "mask", "char_boxes", "--workers", "1"]
    words = str(tmp_path / "words")
    assert main(["render", "--count", "4", "--out", words, *extras]) == 0
    expected = [open_records(words).read(index) for index in range(4)]
    assert all(len(record.char_boxes) == len(record.text) for record in expected)
    assert set(expected[0].images) == {"image", "mask", "clean"}
    for source, out in (("words", "a.lmdb"), ("a.lmdb", "b.lmdb"), ("b.lmdb", "c")):
        assert main([command, str(tmp_path / source), *options, str(tmp_path / out)]) == 0
        records = open_records(str(tmp_path / out))
        assert [records.read(index) for index in range(4)] == expected


def test_fields_that_are_left_behind_are_named(tmp_path, capsys):
    lines = [{"filename": f"image/{n}.png", "label": "a"} for n in range(6)]
    path = write_lines(tmp_path / "words", [*lines[:5], dict(lines[5], font="x")], image=IMAGES)
    assert main(["convert", path, str(tmp_path / "a.lmdb")]) == 0
    assert last_lines(capsys, 2) == [
        "with image; without labels",
        "not in the new set: font, label",
    ]
    lines = [dict(line, text="a", char_boxes=[[0, 0, 5, 5]], font=None) for line in lines]
    path = write_lines(tmp_path / "other", lines, image=IMAGES)
    assert main(["convert", path, str(tmp_path / "b.lmdb")]) == 0
    assert last_lines(capsys, 2) == ["with image, text, char_boxes", "not in the new set: label"]


def test_keys_that_are_left_behind_are_named(tmp_path):
    entries = lmdb_entries(IMAGES, list("abcdef"))
    entries |= {"boxes-000000001": b"[[0, 0, 5, 5]]", "font-000000003": b"x", "meta": b"y"}
    entries |= {f"mask-{n:09d}": mask for n, mask in enumerate(MASKS, 1)}
    records = open_records(str(write_lmdb(tmp_path / "words.lmdb", entries)))
    assert records.stored == {"image", "text", "char_boxes", "font", "mask"}
    assert records.left_behind == ["font"]
    assert MasksAsTextSeg(records).left_behind == ["char_boxes", "font"]
    assert records.read(0).char_boxes == [[0, 0, 5, 5]]


def test_masks_of_all_words_but_the_first_are_not_dropped(tmp_path, capsys):
    lines = [{"filename": f"image/{n}.png", "mask": f"mask/{n}.png"} for n in range(6)]
    del lines[0]["mask"]
    path = write_lines(tmp_path / "words", lines, image=IMAGES, mask=MASKS)
    assert main(["convert", path, str(tmp_path / "a")]) == 2
    assert "line 1: not a JSON object with a 'mask'" in capsys.readouterr().err
    entries = lmdb_entries(IMAGES)
    entries |= {f"mask-{n:09d}": mask for n, mask in enumerate(MASKS[1:], 2)}
    path = str(write_lmdb(tmp_path / "words.lmdb", entries))
    options = ["--max-broken", "0.5"]
    assert main(["convert", path, str(tmp_path / "a"), *options]) == 0
    assert last_lines(capsys, 3)[1] == "with image, mask; without labels"
    assert len(open_records(str(tmp_path / "a"))) == 5


def test_labels_of_all_words_but_the_first_are_counted(tmp_path, capsys):
    lines = [{"filename": f"image/{n}.png", "text": "word"} for n in range(6)]
    del lines[0]["text"]
    path = write_lines(tmp_path / "words", lines, image=IMAGES)
    survey = survey_source(open_source(path))
    assert (survey.broken, len(survey.label_lengths)) == (1, 5)
    entries = lmdb_entries(IMAGES, list("abcdef"))
    del entries["label-000000001"]
    survey = survey_source(open_source(write_lmdb(tmp_path / "words.lmdb", entries)))
    assert (survey.broken, len(survey.label_lengths)) == (1, 5)


def test_decontaminate_says_what_it_leaves_out(tmp_path, test_set, capsys):
    images = [encode(word_pixels(number)) for number in range(200)]
    lines = [{"filename": f"image/{n}.png", "text": "word"} for n in range(200)]
    del lines[7]["text"]
    path = write_lines(tmp_path / "words", lines, image=images)
    out = str(tmp_path / "clean")
    assert main(["decontaminate", path, "--against", test_set, "--out", out]) == 0
    assert last_lines(capsys, 3) == [
        f"{out}: 198 of 200 images of {path}",
        "with image, text",
        f"left out 1 broken ones; the last: {path}, line 8: the object has no 'text'",
    ]


def test_decontamination_of_two_sets_resumes(tmp_path, test_set, monkeypatch, capsys):
    sets = [
        write_lines(
            tmp_path / name,
            [{"filename": f"image/{n}.png", "text": name} for n in range(6)],
            image=IMAGES,
        )
        for name in "ab"
    ]
    outs = [str(tmp_path / "a.lmdb"), str(tmp_path / "clean_b")]
    command = ["decontaminate", *sets, "--against", test_set, "--out", *outs]
    write, calls = writer.WordWriter.write, []

    def interrupted(self, *arguments, **options):
        calls.append(self.path.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return write(self, *arguments, **options)

    monkeypatch.setattr(writer.WordWriter, "write", interrupted)
    assert main(command) == 130
    assert "the same command resumes there" in capsys.readouterr().err
    assert calls == ["a.lmdb", "clean_b"]
    assert not any(Path(out).exists() for out in outs)
    assert main(command) == 0
    for out, name in zip(outs, "ab"):
        records = open_records(out)
        words = [records.read(index) for index in range(len(records))]
        assert [word.images["image"] for word in words] == [IMAGES[n] for n in (0, 1, 3, 4, 5)]
        assert {word.text for word in words} == {name}
    assert not list(tmp_path.glob("*.part"))


def _start_a_worker(sender) -> None:
    worker = multiprocessing.get_context("fork").Process(target=_wait_as_worker)
    worker.start()
    sender.send(worker.pid)
    time.sleep(600)


def _wait_as_worker() -> None:
    render._start_worker(0)
    time.sleep(600)


def test_workers_of_a_killed_rendering_end():
    receiver, sender = multiprocessing.Pipe(duplex=False)
    parent = multiprocessing.get_context("fork").Process(target=_start_a_worker, args=(sender,))
    parent.start()
    worker = receiver.recv()
    os.kill(parent.pid, signal.SIGKILL)
    parent.join()
    for _ in range(200):
        status = Path(f"/proc/{worker}/stat")
        # Ended, or waiting for a process that takes its status.
        if not status.exists() or status.read_text().rpartition(") ")[2][0] == "Z":
            return
        time.sleep(0.05)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker still runs 10 s after its parent was killed")
