"""The command ``mms-ocr render`` as it is typed."""

import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from mms_ocr.cli.main import main
from mms_ocr.dataset_tools import writer
from mms_ocr.dataset_tools.layouts import LmdbWriter
from mms_ocr.datasets import WordImageDataset
from mms_ocr.visualization import GAP


def _render(*arguments: object) -> int:
    return main(["render", *map(str, arguments)])


def test_rendering_a_finished_lmdb_again(tmp_path, capsys):
    arguments = ("--count", 5, "--out", tmp_path / "w.lmdb", "--difficulty", 0, "--workers", 1)
    assert _render(*arguments) == 0
    assert "w.lmdb: 5 words; rendered 5 of them" in capsys.readouterr().out
    assert len(WordImageDataset(tmp_path / "w.lmdb", labelled=True)) == 5
    assert _render(*arguments) == 0
    assert "all 5 words exist already" in capsys.readouterr().out
    assert _render("--count", 6, *arguments[2:]) == 2
    assert "w.lmdb is finished with 5 words; choose another name" in capsys.readouterr().err


def test_words_fonts_and_settings_reach_the_words(tmp_path, dejavu):
    (tmp_path / "words.txt").write_text("Grüße\n12 Äpfel\n")
    out = tmp_path / "out"
    code = _render(
        "--count", 12, "--out", out, "--words", tmp_path / "words.txt", "--fonts", dejavu.path,
        "--random-share", 0, "--set", "height=40,40", "noise=0.2", "--png", "--seed", 7,
        "--workers", 1,
    )  # fmt: skip
    assert code == 0
    dataset = WordImageDataset(out / "labels.jsonl", labelled=True)
    assert {dataset[index]["text"] for index in range(12)} == {"Grüße", "12 Äpfel"}
    assert {dataset[index]["img"].shape[0] for index in range(12)} == {40}


def test_font_weights_reach_the_words(tmp_path):
    families = ["DejaVu Serif", "STIXGeneral", "DejaVu Sans Mono", "cmb10", "cmss10", "cmti10"]
    none = [f"{family}=0" for family in [*families, "cmr10", "cmtt10"]]
    store = ("--count", 3, "--workers", 1, "--out")
    assert _render(*store, tmp_path / "a.lmdb", "--font-weights", *none) == 0
    recipe = json.loads((tmp_path / "a.lmdb" / "render.json").read_text())
    assert recipe["fonts"].startswith("4 fonts, ")  # DejaVu Sans


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_sheets(tmp_path, suffix):
    path = tmp_path / f"sheet.{suffix}"
    assert _render("--sheet", path, "--count", 12) == 0
    plain = cv2.imread(str(path))
    assert 1000 < plain.shape[1] <= 1200 + 2 * GAP
    assert _render("--sheet", path, "--count", 4, "--parts") == 0
    assert cv2.imread(str(path)).shape != plain.shape
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_sheet_beside_other_words(tmp_path):
    cv2.imwrite(str(tmp_path / "real.png"), np.full((30, 90, 3), (0, 0, 255), np.uint8))
    assert _render("--sheet", tmp_path / "s.png", "--count", 6, "--beside", tmp_path) == 0
    sheet = cv2.imread(str(tmp_path / "s.png"))
    assert len(sheet) >= 40 + 4 * GAP
    assert (sheet[20, 20] == (0, 0, 255)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "nothing to write: give --out NAME.lmdb"),
        ("--out a.jsonl --count 1", "a.jsonl is the name of a file"),
        ("--out a.png --count 1", "a.png is the name of a file"),
        ("--out a.lmdb", "give --count, the number of words"),
        ("--out a.lmdb --count 0", "--count is 0; give at least 1"),
        ("--out a.lmdb --count 1 --workers 0", "--workers is 0; give at least 1"),
        ("--out a.lmdb --count 1 --quality 0", "--quality is 0; give 1 to 100"),
        ("--out a.lmdb --count 1 --difficulty 2", "difficulty is 2.0; give a number"),
        ("--out a.lmdb --count 1 --seed -1", "seed is -1; give an integer"),
        ("--out a.lmdb --count 1 --words nowhere.txt", "nowhere.txt: no such word file"),
        ("--out a.lmdb --count 1 --fonts nowhere", "nowhere: no such font folder or file"),
        ("--out a.lmdb --count 1 --fonts .", "file in this folder or below it"),
        ("--out a.lmdb --count 1 --font-weights 3", "--font-weights 3: give FAMILY=WEIGHT"),
        ("--out a.lmdb --count 1 --font-weights cmr10=x", "cmr10=x: give FAMILY=WEIGHT"),
        ("--out a.lmdb --count 1 --font-weights cmr10=-1", "give finite weights of at least 0"),
        ("--out a.lmdb --count 1 --font-weights None=1", "font weight for 'None'; there are: "),
        ("--out a.lmdb --count 1 --backgrounds nowhere", "no such folder of background images"),
        ("--out a.lmdb --count 1 --set contrast", "--set contrast: give NAME=NUMBER"),
        ("--out a.lmdb --count 1 --set contrast=low", "--set contrast=low: give NAME=NUMBER"),
        ("--out a.lmdb --count 1 --set color=1", "unknown render setting 'color'"),
        ("--out a.lmdb --count 1 --max-length 3", "are longer than max_length=3"),
        ("--out nowhere/a.lmdb --count 1", "nowhere: no such folder to write a.lmdb"),
        ("--sheet a.gif", "a.gif: the name must end in .png, .jpg, .jpeg"),
        ("--sheet nowhere/a.png", "nowhere: no such folder to write a.png"),
        ("--sheet a.png --beside nowhere", "there is no data at 'nowhere'"),
        ("--sheet a.png --beside . --parts", "two different sheets"),
    ],
)
def test_wrong_input_gives_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert _render(*arguments.split()) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.startswith("mms-ocr render: ")
    assert errors.count("\n") == 1
    assert not any("lmdb" in file.name for file in tmp_path.iterdir() if file.suffix == ".lmdb")


def test_interrupt_reports_the_written_words(tmp_path, capsys, monkeypatch):
    append = LmdbWriter._append

    def append_once(self: LmdbWriter, *arguments: object) -> None:
        if self.written:
            raise KeyboardInterrupt
        append(self, *arguments)

    monkeypatch.setattr(LmdbWriter, "_append", append_once)
    monkeypatch.setattr(writer, "_CHUNK_WORDS", 64)
    arguments = ("--count", 150, "--out", tmp_path / "w.lmdb", "--workers", 1)
    assert _render(*arguments) == 130
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "interrupted; 64 words" in last
    assert str(tmp_path / "w.lmdb.part") in last
    assert not (tmp_path / "w.lmdb").exists()
    monkeypatch.undo()
    assert _render(*arguments) == 0
    assert "rendered 86 of them" in capsys.readouterr().out


@pytest.mark.slow
def test_ctrl_c_ends_all_processes(tmp_path):
    command = [sys.executable, "-m", "mms_ocr.cli.main", "render", "--count", "20000"]
    # Shells start what runs in the background with SIGINT ignored, and children inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "w.lmdb"), "--workers", "2"],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    signal.signal(signal.SIGINT, before)
    part = tmp_path / "w.lmdb.part"
    data = part / "set" / "data.mdb"
    deadline = time.monotonic() + 60
    while not data.exists() or data.stat().st_size < 300_000:
        assert time.monotonic() < deadline, "rendering did not begin"
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends Ctrl-C: to all processes
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    last = [line for line in errors.replace("\r", "\n").splitlines() if "mms-ocr" in line]
    assert len(last) == 1
    assert "interrupted; " in last[0]
    assert str(part) in last[0]
    assert "Traceback" not in errors
    assert not (tmp_path / "w.lmdb").exists()
