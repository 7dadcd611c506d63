"""The package on a Python without fork, file locks and most signals, as on Windows."""

import os
import subprocess
import sys

RUN = """
import os, sys
del os.register_at_fork  # which the package replaces
import mms_ocr
import mmocr.models, mmpretrain.models, yapf  # these know Linux by other means than what Python has
import windows_like
windows_like.take_away()
from mms_ocr.cli.main import main
print([
    main(arguments.split())
    for arguments in (
        "labels words/gt.txt --out words/labels.jsonl",
        "convert words/labels.jsonl words.lmdb",
        "convert words.lmdb folder",
        "inspect folder/labels.jsonl words.lmdb",
        "render --out rendered.lmdb --count 2 --workers 1",
        "render --out rendered --count 2 --workers 1",
        "labels rendered.lmdb",
        f"read words words.lmdb --config {sys.argv[1]} --weights {sys.argv[2]} --out read",
        "doctor",
    )
])
from mms_ocr.utils.files import atomic_write
atomic_write("whole.txt", "text", flush=True)
from mms_ocr.datasets.loading import start_worker
start_worker(0)
from mms_ocr.engine import StopOnSignalHook
print([signal.name for signal in StopOnSignalHook().signals])
"""


def python(code, repository, folder, *arguments):
    paths = os.pathsep.join([str(repository), f"{repository}/tests/helpers"])
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": paths},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_reading_converting_and_the_doctor(word_images, tiny_recognizer, tmp_path, repository):
    word_images(3, "words")
    lines = [f"{number}.png\tword\n" for number in range(3)]
    (tmp_path / "words" / "gt.txt").write_text("".join(lines))
    done = python(RUN, repository, tmp_path, *tiny_recognizer)
    assert done.returncode == 0, done.stderr
    out = done.stdout.splitlines()
    assert str([0] * 9) in out, done.stdout + done.stderr
    assert out[-1] == "['SIGTERM']"
    assert "Not on Linux" in done.stdout
    assert "no-fork " in done.stdout
    assert (tmp_path / "whole.txt").read_text() == "text"
    assert sorted(os.listdir(tmp_path / "folder")) == ["image", "labels.jsonl"]
