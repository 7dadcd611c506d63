"""No command overwrites its inputs, under any name; names may be any bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest

from mms_ocr.apis import reading, segmenting, upscaling
from mms_ocr.apis.input_images import input_images
from mms_ocr.cli.main import main
from mms_ocr.datasets.sources import open_source
from mms_ocr.utils.decoding import decode_image

BYTES = [b"caf\xe9.png", b"tab\tline\nescape\x1b[31m.png"]
LONG = [b"a" * 251 + b".png", "é".encode() * 125 + b".png", "é".encode() * 125 + b".jpg"]


def write_images(folder: Path, names: list[bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 40 + number, 3), np.uint8)
        path = os.fsencode(folder) + b"/" + name
        Path(os.fsdecode(path)).write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def words(tmp_path) -> Path:
    """A folder of ``1.png``, ``2_mask.png`` and ``3.jpg``, with ``words.jsonl`` beside it."""
    folder = write_images(tmp_path / "words", [b"1.png", b"2_mask.png", b"3.jpg"])
    names = sorted(path.name for path in folder.iterdir())
    lines = [dict(filename=f"words/{name}", text=name[0]) for name in names]
    (tmp_path / "words.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


class Model:
    """Replaces a trained model: gives images back as they are."""

    def __init__(self, *args, **kwargs) -> None:
        pass

    def process(self, images):
        for word in input_images(images):
            yield word, reading.Reading(word.name, "text", 1.0)

    def iterate(self, images, report):
        for given in input_images(images, report):
            height, width = given.image.shape[:2]
            if self.segments:
                shown = np.ones((height, width), np.float32)
                yield segmenting.SegmentedWord(given.name, given.image, shown)
            else:
                image = cv2.resize(given.image, (2 * width, 2 * height))
                yield upscaling.UpscaledWord(given.name, given.image, image, False)


@pytest.fixture
def run(monkeypatch):
    """Runs ``read``, ``segment`` or ``upscale`` without a network."""
    monkeypatch.setattr(reading, "WordReader", type("Reader", (Model,), {"segments": False}))
    monkeypatch.setattr(
        segmenting, "WordSegmenter", type("Segmenter", (Model,), {"segments": True})
    )
    monkeypatch.setattr(upscaling, "WordUpscaler", type("Upscaler", (Model,), {"segments": False}))

    def run_command(command: str, *arguments: str | Path) -> int:
        return main([command, *map(str, arguments), "--weights", "none.pth"])

    return run_command


@pytest.mark.parametrize("command", ["read", "segment", "upscale"])
@pytest.mark.parametrize(
    ("images", "out"),
    [
        ("words", "words"),
        ("words", "words/../words"),
        ("words", "link"),
        ("link", "words"),
        ("words", "words/pictures"),
        ("words", "link/pictures"),
        ("words/*.png", "words"),
        ("words.jsonl", "words"),
        ("words", "hard"),
        ("words", "linked"),
        ("words/1.png words/2_mask.png", "words"),
    ],
)
def test_out_inside_the_inputs_is_refused(words, run, tmp_path, capsys, command, images, out):
    (tmp_path / "link").symlink_to(words, target_is_directory=True)
    for folder in ("hard", "linked"):
        (tmp_path / folder).mkdir()
    os.link(words / "2_mask.png", tmp_path / "hard" / "2_mask.png")
    (tmp_path / "linked" / "2_mask.png").symlink_to(words / "2_mask.png")
    before = contents(tmp_path)
    given = [tmp_path / path for path in images.split()]
    assert run(command, *given, "--out", tmp_path / out) == 2
    assert contents(tmp_path) == before
    assert capsys.readouterr().err.startswith(f"mms-ocr {command}: ")


def test_other_names_beside_the_images_are_written(words, run, tmp_path):
    before = contents(tmp_path)
    for command in ("read", "upscale", "segment"):
        assert run(command, words / "3.jpg", "--out", words) == 0
    after = contents(tmp_path)
    assert {path: after[path] for path in before} == before
    kinds = ("", "_mask", "_cutout", "_overlay")
    assert set(after) - set(before) == {str(words / f"3{kind}.png") for kind in kinds}
    assert run("segment", words / "3.jpg", words / "3_mask.png", "--out", words) == 2
    assert contents(tmp_path) == after


@pytest.mark.parametrize("command", ["read", "segment", "upscale"])
def test_names_are_bytes_and_may_be_long(run, tmp_path, capsys, command):
    folder = write_images(tmp_path / "words", BYTES + LONG)
    assert run(command, folder, "--out", tmp_path / "out") == 0
    names = sorted(os.listdir(os.fsencode(tmp_path / "out")))
    pictures = 3 if command == "segment" else 1
    assert len(names) == pictures * len(BYTES + LONG)
    assert max(map(len, names)) <= 255
    assert (b"caf\xe9_mask.png" if command == "segment" else b"caf\xe9.png") in names
    for data in contents(tmp_path / "out").values():
        assert decode_image(data).size
    out = capsys.readouterr().out
    if command == "read":
        lines = out.splitlines()
        assert len(lines) == len(BYTES + LONG)
        assert any(line.endswith(r"words/caf\udce9.png") for line in lines)
        assert any(line.endswith(r"words/tab\tline\nescape\x1b[31m.png") for line in lines)


def test_json_names_files_that_can_be_read_again(run, tmp_path, capsys):
    folder = write_images(tmp_path / "words", BYTES + LONG)
    assert run("read", folder, "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {Path(row["image"]).read_bytes() for row in rows} == set(contents(folder).values())


COMMANDS = {
    "inspect words --picture {}": ["words/1.png", "link.png", "hard.png"],
    "inspect words.jsonl --picture {}": ["words/1.png", "link.png", "hard.png", "words"],
    "convert words new --list-broken {}": ["words/1.png", "new", "words", "none/list"],
    "convert words.jsonl new --list-broken {}": ["words.jsonl", "link", "hard"],
    "convert words {}": ["words/new", "words", "none/new"],
    "convert words.part {}": ["words"],
    "decontaminate words.jsonl --against words --list {}": ["words.jsonl", "link", "words/1.png"],
    "decontaminate words --against words.jsonl --list {}": ["words.jsonl", "none/list"],
    "decontaminate words --against words.jsonl --out {}": ["words/new", "none/new", "a.jsonl"],
    "decontaminate words words --against words.jsonl --out new {}": ["new"],
    "labels words.jsonl --list-left-out {}": ["words.jsonl", "link", "words", "none/list"],
    "labels words.jsonl --out new.jsonl --list-left-out {}": ["new.jsonl", "words.jsonl"],
    "labels words.jsonl --dictionary dictionary.txt --list-left-out {}": ["dictionary.txt"],
    "render --count 2 --backgrounds words --out {}": ["words/new", "words", "none/new"],
    "render --count 2 --beside words --sheet {}": ["words/1.png", "link.png"],
    "render --count 2 --beside words.jsonl --sheet {}": ["words/1.png", "hard.png"],
    "render --count 2 --words dictionary.txt --sheet {}": ["dictionary.txt", "words.png"],
}


@pytest.mark.parametrize(
    ("command", "out"), [(command, out) for command in COMMANDS for out in COMMANDS[command]]
)
def test_data_commands_check_outputs_before_the_work(
    words, tmp_path, monkeypatch, capsys, command, out
):
    (tmp_path / "link.png").symlink_to(words / "1.png")
    os.link(words / "1.png", tmp_path / "hard.png")
    (tmp_path / "link").symlink_to(tmp_path / "words.jsonl")
    os.link(tmp_path / "words.jsonl", tmp_path / "hard")
    (tmp_path / "dictionary.txt").write_text("a\nb\n1\n2\n3\n")
    (tmp_path / "words.png").symlink_to(tmp_path / "dictionary.txt")
    for part in ("words", "words.jsonl"):
        if f"{part}.part" in command:
            (tmp_path / part).rename(tmp_path / f"{part}.part")
    before = contents(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(command.format(out).split()) == 2
    assert contents(tmp_path) == before
    assert len(capsys.readouterr().err.splitlines()) == 1, "the work had begun"


@pytest.mark.parametrize("command", ["convert words new", "render --count 1 --out new"])
def test_user_folder_is_not_treated_as_an_unfinished_set(words, tmp_path, monkeypatch, command):
    (tmp_path / "new.part").mkdir()
    (tmp_path / "new.part" / "labels.jsonl").write_text("of the user")
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) == 2
    assert (tmp_path / "new.part" / "labels.jsonl").read_text() == "of the user"


def test_data_commands_take_names_of_any_bytes(tmp_path, capsys):
    folder = write_images(tmp_path / os.fsdecode(b"w\xf6rter"), BYTES + LONG)
    (folder / os.fsdecode(b"brok\xe9n\n.png")).write_bytes(b"no image")
    listed = tmp_path / "list"
    lmdb = tmp_path / os.fsdecode(b"s\xe9t.lmdb")
    options = ["--max-broken", "0.5", "--list-broken", str(listed)]
    assert main(["convert", str(folder), str(lmdb), *options]) == 0
    assert listed.read_text() == (
        rf"{tmp_path}/w\udcf6rter/brok\udce9n\n.png: not an image of a known format" + "\n"
    )
    picture = tmp_path / os.fsdecode(b"p\xe9.png")
    assert main(["inspect", str(folder), str(lmdb), "--picture", str(picture)]) == 0
    assert decode_image(picture.read_bytes()).size
    assert main(["decontaminate", str(folder), "--against", str(lmdb), "--list", str(listed)]) == 1
    rows = [json.loads(line) for line in listed.read_text("utf-8").splitlines()]
    assert len(rows) == len(BYTES + LONG)
    assert all(Path(row["train"]).is_file() for row in rows)
    lines = [dict(filename=Path(row["train"]).name, text="é") for row in rows]
    (folder / "gt.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = folder / "labels.jsonl"
    left_out = ["--list-left-out", str(listed)]
    assert main(["labels", str(folder / "gt.jsonl"), "--out", str(out), *left_out]) == 0
    source = open_source(out)
    assert [source.read(index, True).text for index in range(5)] == ["é"] * 5
    backgrounds = ["--backgrounds", str(write_images(tmp_path / "back", BYTES))]
    new = str(tmp_path / os.fsdecode(b"n\xe9w"))
    assert main(["render", "--count", "2", "--workers", "1", "--out", new, *backgrounds]) == 0
    assert not capsys.readouterr().err.count("Traceback")


def test_ascii_locale(tmp_path):
    folder = write_images(tmp_path / "words", ["é.png".encode(), b"caf\xe9.png"])
    lines = [dict(filename=path.name, text="é") for path in sorted(folder.iterdir())]
    (folder / "gt.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    program = """
        import sys
        from mms_ocr.cli.main import main
        assert sys.getfilesystemencoding() == "ascii"
        for command in ("convert words a", "labels words/gt.jsonl --out words/b.jsonl",
                        "convert words/b.jsonl c", "inspect words/b.jsonl"):
            assert main(command.split()) == 0, command
    """
    ascii_only = dict(PYTHONUTF8="0", LC_ALL="C", PYTHONCOERCECLOCALE="0")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=tmp_path,
        env={**os.environ, **ascii_only, "PYTHONIOENCODING": "ascii:strict"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for path in (tmp_path / "a", tmp_path / "c"):
        assert len(open_source(path)) == 2
    assert r"\xe9" in done.stdout
