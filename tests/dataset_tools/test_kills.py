"""Commands that write data sets resume after a kill at any moment, with the same result."""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from pathlib import Path

import lmdb
import pytest
from made_images import encode, word_pixels

from mms_ocr.cli.main import main
from mms_ocr.dataset_tools import render, writer
from mms_ocr.utils import progress

COMMANDS = {
    "convert": "convert words/words.jsonl OUT",
    "render": "render --count 40 --workers 1 --extras mask char_boxes --out OUT",
    "decontaminate": "decontaminate words/words.jsonl --against test --out OUT",
}


@pytest.fixture
def words(make_source, tmp_path, monkeypatch):
    """Images with labels, of which one is in a test set; and a small batch for every writer."""
    images = [encode(word_pixels(number, 20 + number % 9, 60)) for number in range(60)]
    path = Path(make_source("jsonl", images, [f"w{number}" for number in range(60)]))
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "7.png").write_bytes(images[7])
    monkeypatch.setattr(writer, "_CHUNK_WORDS", 3)
    monkeypatch.setattr(render, "_BATCH", 2)
    # Bars share a lock with forked processes, which a kill would leave locked.
    monkeypatch.setattr(progress, "progress_bar", progress.silent)
    monkeypatch.chdir(tmp_path)
    assert path.relative_to(tmp_path) == Path("words/words.jsonl")
    return tmp_path


def contents(path: Path) -> dict:
    if path.suffix == ".lmdb":
        with lmdb.open(str(path), readonly=True, lock=False) as file, file.begin() as transaction:
            return dict(transaction.cursor())
    files = (file for file in path.rglob("*") if file.is_file())
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


@pytest.mark.parametrize("layout", ["out.lmdb", "out"])
@pytest.mark.parametrize("command", COMMANDS)
def test_kill_and_resume(words, command, layout):
    context = multiprocessing.get_context("fork")
    arguments = COMMANDS[command].split()
    whole, killed = words / f"whole-{layout}", words / layout
    started = time.monotonic()
    assert main([word.replace("OUT", str(whole)) for word in arguments]) == 0
    duration = time.monotonic() - started
    rng = random.Random(command + layout)
    kills = 0
    while not killed.exists():
        process = context.Process(
            target=main, args=([word.replace("OUT", str(killed)) for word in arguments],)
        )
        process.start()
        # Later and later, so that it comes to an end on any machine.
        process.join(rng.uniform(0, duration * (1 + kills) / 5))
        kills += process.is_alive()
        process.kill()
        process.join()
        assert process.exitcode in (-signal.SIGKILL, 0)
    assert kills > 0
    assert contents(killed) == contents(whole)
    left = {path.name for path in words.iterdir()} - {"words", "test", whole.name, killed.name}
    # A kill after the set has its name leaves no more than the plan, the progress and the lock.
    assert left <= {f"{layout}.part"}
    assert not (words / f"{layout}.part" / "set").exists()
