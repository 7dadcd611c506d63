"""Programs of an adaptation: progress, limits, signals, errors; the state and its lock."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from mms_ocr.apis.adaptation.running import StoppedError, run, shell_line
from mms_ocr.apis.adaptation.state import State, claim, read_state

SAVING = """
import signal, sys, time
def save(*_):
    open("saved", "w").close()
    sys.exit(75)
signal.signal(signal.SIGTERM, save)
print("Iter(train) [ 10/100]  loss: 1", flush=True)
time.sleep(60)
"""


@pytest.fixture
def state(tmp_path) -> State:
    return State(tmp_path, {"hours": 1})


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_output_is_appended_and_progress_shown(state, tmp_path):
    shown, log = [], tmp_path / "runs" / "a.txt"
    code = "import time; print('Iter(test) [3/4] x', flush=True); time.sleep(0.7)"
    for _ in range(2):
        run(python(code), state, log, shown.append)
    assert log.read_text() == "Iter(test) [3/4] x\n" * 2
    assert "3/4" in shown


def test_a_failure_gives_the_last_line_of_its_output(state, tmp_path):
    code = "import sys; print('one'); sys.exit('train.py: no data at x')"
    with pytest.raises(ValueError, match=r"train\.py: no data at x .*a\.txt"):
        run(python(code), state, tmp_path / "a.txt", lambda _: None)


def test_a_killed_program_is_reported_by_its_signal(state, tmp_path):
    code = "import os; print('Iter(train) [1/2]', flush=True); os.kill(os.getpid(), 9)"
    with pytest.raises(ValueError, match=r"Killed.*a\.txt"):
        run(python(code), state, tmp_path / "a.txt", lambda _: None)


def test_a_program_at_its_limit_saves_and_counts_as_done(state, tmp_path):
    began = time.monotonic()
    run(python(SAVING), state, tmp_path / "a.txt", lambda _: None, limit=1.5)
    assert (tmp_path / "saved").exists()
    assert 1.5 < time.monotonic() - began < 20


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_program_after_it_saved(state, tmp_path, number):
    def show(progress: str) -> None:
        if progress == "10/100":
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(StoppedError, match=signal.Signals(number).name):
        run(python(SAVING), state, tmp_path / "a.txt", show)
    assert (tmp_path / "saved").exists()
    assert signal.getsignal(number) is before


def test_status_75_of_a_program_stops_the_adaptation(state, tmp_path):
    with pytest.raises(StoppedError):
        run(python("import sys; sys.exit(75)"), state, tmp_path / "a.txt", lambda _: None)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals the death of a parent")
def test_a_program_saves_when_its_parent_is_killed(tmp_path):
    (tmp_path / "saving.py").write_text(SAVING)
    parent = f"""
import sys
from pathlib import Path
from mms_ocr.apis.adaptation.running import run
from mms_ocr.apis.adaptation.state import State
folder = Path({str(tmp_path)!r})
command = [sys.executable, "saving.py"]
run(command, State(folder, {{}}), folder / "a.txt", lambda p: print(p, flush=True))
"""
    process = subprocess.Popen(python(parent), stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.strip() == "10/100":
            break
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while not (tmp_path / "saved").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (tmp_path / "saved").exists()


def test_commands_are_written_as_typed():
    command = [sys.executable, "tools/train.py", "a b.py"]
    assert shell_line(command) == "python tools/train.py 'a b.py'"


def test_state_is_kept_with_the_time_used(tmp_path):
    first = State(tmp_path, {"hours": 2.0, "test": ["a"]})
    first._began -= 100
    assert first.begin("pretrain") == pytest.approx(100, abs=1)
    first._began -= 50
    first.finish("pretrain", {"iterations": 7})
    second = State(tmp_path, {"hours": 2.0, "test": ["a"]})
    assert second.get("pretrain") == {"iterations": 7}
    assert second.get("finetune") is None
    assert second.seconds == pytest.approx(150, abs=1)
    assert second.begin("pretrain") == pytest.approx(100, abs=1)
    with pytest.raises(ValueError, match=r"test is \['b'\]"):
        State(tmp_path, {"hours": 2.0, "test": ["b"]})


@pytest.mark.parametrize("content", ["{", "[]", '{"options": {}, "stages": []}'])
def test_a_damaged_state_is_refused(tmp_path, content):
    (tmp_path / "adapt.json").write_text(content)
    with pytest.raises(ValueError, match=r"adapt\.json"):
        read_state(tmp_path)


def test_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "photo.png").touch()
    with pytest.raises(FileExistsError), claim(tmp_path):
        pass
    with pytest.raises(FileExistsError), claim(tmp_path / "photo.png"):
        pass
    assert (tmp_path / "photo.png").exists()


def test_new_folder_stays_only_with_a_finished_stage(tmp_path):
    for stages, kept in ((0, False), (1, True)):
        folder = tmp_path / "new" / str(stages)
        with claim(folder):
            state = State(folder, {})
            state.write()
            (folder / "data").mkdir()
            if stages:
                state.finish("data", True)
        assert folder.exists() is kept


def test_folder_that_was_empty_before_stays(tmp_path):
    with claim(tmp_path):
        State(tmp_path, {}).write()
    assert list(tmp_path.iterdir()) == []


def test_unfinished_copies_of_data_stay(tmp_path):
    with claim(tmp_path / "out"):
        State(tmp_path / "out", {}).write()
        (tmp_path / "out" / "data" / "test.lmdb.part").mkdir(parents=True)
    assert json.loads((tmp_path / "out" / "adapt.json").read_text())["stages"] == {}


def test_two_at_once_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mms_ocr.apis.adaptation.state._LOCK_SECONDS", 0.1)
    pytest.importorskip("fcntl")
    errors = []

    def second() -> None:
        try:
            with claim(tmp_path / "out"):
                pass
        except BlockingIOError as error:
            errors.append(str(error))

    with claim(tmp_path / "out"):
        State(tmp_path / "out", {}).write()
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        assert (tmp_path / "out" / "adapt.json").exists()  # the second has removed nothing
    assert len(errors) == 1
    assert str(tmp_path / "out") in errors[0]
