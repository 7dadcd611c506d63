"""The whole of an adaptation, killed in the middle; and what stops it before it starts."""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_images import word_pixels

pytest.importorskip("mmocr")

from mms_ocr.apis import WordReader, adapt
from mms_ocr.apis.adaptation import adapting, configs, stages, starting
from mms_ocr.apis.adaptation.configs import Start
from mms_ocr.apis.adaptation.running import StoppedError
from mms_ocr.apis.tasks import RECOGNITION, choose_weights
from mms_ocr.cli.main import main
from mms_ocr.rendering import FontCollection, RenderSettings, TextSource, WordRenderer
from mms_ocr.utils.files import write_image


@pytest.fixture
def words(tmp_path) -> Path:
    """A folder with 150 crops, 70 labelled words and a test set of 30, all rendered."""
    texts = ["Straße", "café", "Größe", *(f"{n:03}" for n in range(40))]
    source = TextSource(texts, random_string_share=0.3, max_length=10)
    renderer = WordRenderer(FontCollection(), source, RenderSettings.at(0.2), 5)
    lines = {"labels": [], "test": []}
    for number in range(250):
        word = renderer.render(number)
        name = "crops" if number < 150 else "labels" if number < 220 else "test"
        (tmp_path / name).mkdir(exist_ok=True)
        path = f"{name}/{number}.png"
        write_image(tmp_path / path, word.image)
        if name in lines:
            lines[name].append(json.dumps({"filename": path, "text": word.text}) + "\n")
    for name, rows in lines.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(rows), encoding="utf-8")
    return tmp_path


RUN = """
import sys
from mms_ocr.apis.adaptation import plan, stages
from mms_ocr.cli.main import main
plan.LEAST_ITERATIONS = stages.LEAST_ITERATIONS = 4
stages.MAX_PASSES, stages.MAX_WORDS = 6, 640
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_crops_and_labels_become_a_reader(words, monkeypatch):
    command = [sys.executable, "-c", RUN, "adapt", "--unlabelled", "crops"]
    command += ["--labelled", "labels.jsonl", "--test", "test.jsonl", "--hours", "0.5"]
    command += ["--compare", "--out", "reader"]
    out = words / "reader"

    def finished() -> dict:
        path = out / "adapt.json"
        return json.loads(path.read_text())["stages"] if path.exists() else {}

    # Killed while it pretrains, and stopped while it fine-tunes.
    for stage, number, status in (
        ("lengths", signal.SIGKILL, -9),
        ("finetuning", signal.SIGTERM, 75),
    ):
        process = subprocess.Popen(command, cwd=words, stderr=subprocess.DEVNULL)
        while stage not in finished():
            assert process.poll() is None
            time.sleep(0.2)
        time.sleep(5)
        os.kill(process.pid, number)
        assert process.wait(90) == status
        assert not (out / "reader.safetensors").exists()
        assert not (out / "report.html").exists()
    done = subprocess.run(command, cwd=words, capture_output=True, text=True, check=True)
    assert "reader: reader; report: reader/report.html" in done.stdout

    figures = json.loads((out / "report.json").read_text())
    assert [reader["name"] for reader in figures["readers"]] == [
        "bundled", "finetune_plain", "finetune",
    ]  # fmt: skip
    assert set(figures["data"]["new_characters"]) >= set("éß")
    assert figures["words"] == figures["data"]["test"]["used"] <= 30
    images = sum(figures["data"][name]["used"] for name in ("unlabelled", "labelled"))
    assert figures["trainings"]["pretrain"]["iterations"] == math.ceil(6 * images / 128)
    assert figures["trainings"]["finetune"]["iterations"] == 10
    assert figures["parameters"] > 1_000_000
    for name in ("reader.safetensors", "reader.onnx"):
        assert figures["file_sizes"][name] == (out / name).stat().st_size
    HTMLParser().feed((out / "report.html").read_text(encoding="utf-8"))
    # The reader reads as it was measured, with torch and without, wherever its folder is.
    out.rename(words / "moved")
    written = figures["written"]
    lines = (words / f"moved/runs/test_{written}/words.jsonl").read_text().splitlines()
    expected = [json.loads(line)["text"] for line in lines]
    paths = (words / "moved/data/test_names.txt").read_text().splitlines()
    for weights in ("moved", "moved/reader.onnx"):
        assert [r.text for r in WordReader(words / weights)(paths)] == expected
    (words / "moved").rename(out)
    # The same call returns what was found.
    monkeypatch.chdir(words)
    again = adapt("crops", "labels.jsonl", "reader", "test.jsonl", hours=0.5, compare=True)
    assert again == figures


def run_command(tmp_path, monkeypatch, *options: str) -> int:
    monkeypatch.chdir(tmp_path)
    return main(["adapt", "--out", "out", *options])


def test_missing_data_leave_nothing_behind(tmp_path, monkeypatch, capsys):
    options = ["--unlabelled", "nowhere", "--labelled", "labels.jsonl"]
    assert run_command(tmp_path, monkeypatch, *options) == 2
    assert "nowhere" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "value"),
    [(["--hours", "0"], "0.0"), (["--hours", "inf"], "inf"), (["--gpus", "9"], "9")],
)
def test_wrong_options_are_named(tmp_path, monkeypatch, capsys, options, value):
    options = ["--unlabelled", "a", "--labelled", "b", *options]
    assert run_command(tmp_path, monkeypatch, *options) == 2
    assert f"is {value}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "a\udcff"])
def test_folder_that_no_config_can_name_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="--out"):
        adapt("a", "b", tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_finished_folder_is_returned_without_work(tmp_path, monkeypatch, capsys):
    digest = hashlib.sha256(b"1").hexdigest()
    finished = {"done": True, "data": {str(tmp_path / "b"): digest}, "lengths": {"hours": 2.0}}
    options = dict(unlabelled=[str(tmp_path / "a")], labelled=[str(tmp_path / "b")], test=[])
    state = dict(
        options=dict(**options, start="mms_vit_n", compare=None, gpus=0),
        seconds=5.0, began={}, stages=finished,
    )  # fmt: skip
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "adapt.json").write_text(json.dumps(state))
    (tmp_path / "out" / "report.json").write_text('{"written": "finetune"}')
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b").write_text("1")
    assert adapt("a", "b", "out", progress=True) == {"written": "finetune"}
    assert "out is finished" in capsys.readouterr().err
    with pytest.raises(ValueError, match="compare is True"):
        adapt("a", "b", "out", compare=True)
    with pytest.raises(ValueError, match="--hours is 3"):
        adapt("a", "b", "out", hours=3)
    (tmp_path / "b").write_text("2")
    with pytest.raises(ValueError, match="b has changed"):
        adapt("a", "b", "out")


def test_start_is_the_same_file_in_any_current_folder(tmp_path, monkeypatch):
    options = dict(unlabelled=[str(tmp_path / "crops")], labelled=[], test=[])
    state = dict(
        options=dict(**options, start=str(tmp_path / "s.pth"), compare=None, gpus=0),
        seconds=5.0, began={}, stages={"done": True},
    )  # fmt: skip
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "adapt.json").write_text(json.dumps(state))
    (tmp_path / "out" / "report.json").write_text("{}")

    def find(given: str) -> Start:
        return Start(os.path.abspath(given), "mms/pretrain_vit_n.py", None, "nano")

    monkeypatch.setattr(adapting, "find_start", find)
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert adapt("../crops", [], "../out", start="../s.pth") == {}
    with pytest.raises(ValueError, match="start"):
        adapt("../crops", [], "../out", start="s.pth")


def test_start_is_a_pretraining_run(tmp_path):
    assert starting.find_start("mms_vit_n") == Start(
        "mms_ocr://mms_vit_n", "mms/pretrain_vit_n.py", "mms_ocr://mms_vit_n_ar", "nano"
    )
    # The best bundled reader is the one that commands read with.
    assert choose_weights(None, RECOGNITION) == configs.READER
    with pytest.raises(ValueError, match="mms_vit_n_ctc is a recognizer"):
        starting.find_start("mms_vit_n_ctc")
    with pytest.raises(FileNotFoundError, match="mms_vit_x"):
        starting.find_start("mms_vit_x")


@pytest.mark.slow
def test_written_reader_is_the_bundled_one_where_that_is_best(tmp_path):
    start = starting.find_start("mms_vit_n")
    assert starting.write_reader(tmp_path, start, "bundled", "mms_ocr://mms_vit_n_ar") == []
    assert starting.count_parameters(tmp_path) == 1_735_425
    image = np.full((40, 120, 3), 255, np.uint8)
    cv2.putText(image, "Total", (8, 28), cv2.FONT_HERSHEY_SIMPLEX, 1, (0, 0, 0), 2)
    expected = WordReader()(image).text
    assert [WordReader(tmp_path / name)(image).text for name in ("", "reader.onnx")] == [
        expected, expected,
    ]  # fmt: skip


def test_changed_labels_are_refused_after_a_stop(tmp_path, monkeypatch):
    def stop(*_, **__) -> None:
        raise StoppedError

    monkeypatch.setattr(stages, "run", stop)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "crops").mkdir()
    rows = []
    for number in range(160):
        write_image(f"crops/{number}.png", word_pixels(number, 16, 40))
        rows.append(json.dumps({"filename": f"crops/{number}.png", "text": f"w{number}"}) + "\n")
    labels = tmp_path / "labels.jsonl"
    labels.write_text("".join(rows[:60]))
    for _ in range(2):
        with pytest.raises(StoppedError):
            adapt("crops", "labels.jsonl", "out")
    labels.write_text("".join(rows[:61]))
    with pytest.raises(ValueError, match=r"labels\.jsonl has changed"):
        adapt("crops", "labels.jsonl", "out")
    state = json.loads((tmp_path / "out" / "adapt.json").read_text())
    assert state["stages"] == {
        "data": {str(labels): hashlib.sha256("".join(rows[:60]).encode()).hexdigest()}
    }
