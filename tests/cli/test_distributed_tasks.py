"""Every task trains over two processes and is tested over two: one iteration, uneven data."""

import importlib.util
import json

import pytest
from distributed import in_processes
from tiny_tasks import TASKS, task_options, write_data, write_task

from mms_ocr.cli import testing, training

needs_mmocr = pytest.mark.skipif(
    importlib.util.find_spec("mmocr") is None, reason="recognizers need MMOCR"
)


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("words"))


@pytest.mark.parametrize(
    "task", [pytest.param(t, marks=needs_mmocr) if t == "textrecog" else t for t in TASKS]
)
def test_a_task_over_two_processes(tmp_path, words, task):
    path = write_task(tmp_path / "c.py", task)
    score = TASKS[task][2]
    shared = ["--work-dir", str(tmp_path / "w"), "--launcher", "pytorch"]
    options = task_options(task, words)
    run = [str(path), *shared, "--iterations", "2", *options]
    assert in_processes(2, training.main, run) == [0, 0]

    held_out = ["--held-out"] if task == "textrecog" else []
    tested = [str(path), str(tmp_path / "w" / "iter_2.pth"), *shared, *held_out, *options]
    assert in_processes(2, testing.main, tested) == [0, 0]
    logs = sorted((tmp_path / "w").rglob("vis_data/scalars.json"))
    lines = map(json.loads, logs[0].read_text().splitlines())
    last = [line[score] for line in lines if score in line][-1]
    (result,) = (tmp_path / "w").glob("*/*.json")
    # What the last validation says, to as many digits as it is written with.
    if task == "textrecog":  # tested as a benchmark of one set
        score = "benchmark/all_images/word_acc_ignore_case"
    assert json.loads(result.read_text())[score] == pytest.approx(last, rel=2e-3, abs=1e-4)
