"""A process that makes no progress ends; test_faults.py has jobs of several processes."""

import os
import sys
import threading
from types import SimpleNamespace

import pytest
from mmengine.runner import Runner

from mms_ocr.engine import WatchdogHook
from mms_ocr.engine.hooks import watchdog_hook
from mms_ocr.engine.hooks.watchdog_hook import is_running


@pytest.fixture
def statuses(monkeypatch):
    """Exit statuses, instead of exits; every thread counts as in a run."""
    statuses, ended = [], threading.Event()

    def leave(status):
        statuses.append(status)
        ended.set()
        sys.exit()  # ends the thread

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(watchdog_hook, "is_running", lambda frame: frame is not None)
    return SimpleNamespace(all=statuses, ended=ended)


@pytest.fixture
def watchdogs():
    """List the watchdogs of this test, without those of earlier tests that failed."""
    before = threading.enumerate()

    def find():
        new = [thread for thread in threading.enumerate() if thread not in before]
        return [thread for thread in new if thread.name == "watchdog"]

    return find


@pytest.mark.parametrize("has_folder", [True, False])
def test_a_run_without_progress_ends(tmp_path, capfd, statuses, has_folder):
    hook = WatchdogHook(timeout=0.2)
    log_dir = tmp_path if has_folder else tmp_path / "missing"
    runner = SimpleNamespace(iter=6, log_dir=str(log_dir))
    hook.before_run(runner)
    hook.after_train_iter(runner, batch_idx=6)
    assert statuses.ended.wait(30)
    assert statuses.all == [1]
    line = next(x for x in capfd.readouterr().err.splitlines() if x.startswith("train.py: "))
    assert "reading the batch of iteration 7" in line
    path = tmp_path / "hang_rank0.txt"
    assert (str(path) in line) == has_folder
    if has_folder:
        assert "test_a_run_without_progress_ends" in path.read_text()


def test_progress_and_the_end_of_a_run_are_noticed(tmp_path, statuses, watchdogs):
    hook = WatchdogHook(timeout=2.0)
    runner = SimpleNamespace(iter=6, log_dir=str(tmp_path))
    hook.before_run(runner)
    for _ in range(3):
        assert not statuses.ended.wait(0.8)
        hook.before_train_iter(runner, batch_idx=6)
    hook.after_run(runner)
    for thread in watchdogs():
        thread.join(10)
    assert not watchdogs()
    assert statuses.all == []


def test_watchdog_ignores_a_failed_run(tmp_path, statuses, monkeypatch, watchdogs):
    monkeypatch.setattr(watchdog_hook, "is_running", is_running)
    WatchdogHook(timeout=0.1).before_run(SimpleNamespace(iter=0, log_dir=str(tmp_path)))
    for thread in watchdogs():
        thread.join(10)
    assert not watchdogs()
    assert statuses.all == []
    assert not list(tmp_path.iterdir())


def test_a_frame_inside_of_a_run():
    seen = []

    class Stub:
        @property
        def model(self):
            seen.append(is_running(sys._getframe()))
            raise KeyError

    with pytest.raises(KeyError):
        Runner.train(Stub())
    assert seen == [True]
    assert not is_running(sys._getframe())


def test_an_impossible_timeout():
    with pytest.raises(ValueError, match="got 0"):
        WatchdogHook(timeout=0)
