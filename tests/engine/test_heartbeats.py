"""Who is said to keep the others waiting."""

import atexit
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from mms_ocr.engine.heartbeats import Report, Reports, current_place, describe_stall, is_running
from mms_ocr.engine.hooks import watchdog_hook
from mms_ocr.engine.hooks.watchdog_hook import WatchdogHook


def report(step=30, doing="training at iteration 7", place="f (a.py:1)", waiting=True, idle=9.0):
    return Report(step, doing, place, waiting, idle, 1)


@pytest.mark.parametrize(
    ("reports", "silent", "ranks", "line"),
    [
        (
            {0: report(), 1: report(), 2: report()},
            {1: 61.0, 2: 75.2},
            [1, 2],
            "ranks 1, 2 are not heard of for 61 s: the process is dead or frozen",
        ),
        (
            {0: report(), 1: report(28, "reading the batch of iteration 7", "read (b.py:2)")},
            {},
            [1],
            "rank 1 hangs, reading the batch of iteration 7, in read (b.py:2)",
        ),
        (
            {0: report(), 1: report(place="loss (m.py:3)", waiting=False), 2: report()},
            {},
            [1],
            "rank 1 hangs, training at iteration 7, in loss (m.py:3)",
        ),
        (
            {0: report(), 1: report()},
            {},
            [],
            "all ranks are training at iteration 7, rank 0 in f (a.py:1)",
        ),
        (
            {0: report(waiting=False), 1: report(waiting=False)},
            {},
            [],
            "all ranks are training at iteration 7, rank 0 in f (a.py:1)",
        ),
    ],
)
def test_who_is_at_fault(reports, silent, ranks, line):
    assert describe_stall(reports, silent, len(reports)) == (ranks, line)


def test_a_process_alone():
    alone = report(28, "reading the batch of iteration 7", "read (b.py:2)", waiting=False)
    assert (
        describe_stall({0: alone}, {}, 1)[1] == "reading the batch of iteration 7, in read (b.py:2)"
    )


def test_places():
    place, waiting = current_place(threading.get_ident())
    assert place.startswith("current_place (heartbeats.py:")
    assert not waiting
    assert current_place(-1) == ("nowhere", False)
    assert not is_running(sys._getframe(), "train")


@pytest.mark.parametrize("end", ["after_run", "exit"])
def test_the_thread_that_watches_ends_before_python_does(monkeypatch, tmp_path, end):
    """Ended by Python in the middle of a call of the store, it would abort the process."""
    at_exit = []
    monkeypatch.setattr(atexit, "register", at_exit.append)
    monkeypatch.setattr(atexit, "unregister", at_exit.remove)
    asked = threading.Event()

    def publish(self, report):
        asked.set()
        time.sleep(0.3)

    monkeypatch.setattr(Reports, "publish", publish)
    monkeypatch.setattr(watchdog_hook, "_BETWEEN", 0.1)
    hook = WatchdogHook()  # which has time: out of it, the thread would end by itself
    runner = SimpleNamespace(timestamp="now", log_dir=str(tmp_path))
    before = set(threading.enumerate())
    hook.before_run(runner)
    assert asked.wait(20)
    (watching,) = set(threading.enumerate()) - before
    (stop,) = at_exit
    if end == "exit":
        stop()
    else:
        hook.after_run(runner)
        assert not at_exit
    assert not watching.is_alive()
