"""Folders with a reader, as ``mms-ocr adapt`` writes them."""

from __future__ import annotations

import os
from pathlib import Path

#: Checkpoint, its config, and the same reader in ONNX.
READER_WEIGHTS, READER_CONFIG, READER_ONNX = "reader.safetensors", "reader.py", "reader.onnx"
#: State of an adaptation, from its start on.
STATE_FILE = "adapt.json"


def find_reader(folder: str | os.PathLike[str]) -> Path:
    """Find the checkpoint of the reader in a folder.

    Raises:
        FileNotFoundError: There is none, or it has no config.
    """
    folder = Path(folder)
    names = (READER_WEIGHTS, READER_CONFIG)
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise FileNotFoundError(
            f"{folder} has no {' and no '.join(missing)}: "
            + (
                "its adaptation is not finished; repeat the command mms-ocr adapt, which resumes"
                if (folder / STATE_FILE).is_file()
                else "give a checkpoint, or a folder that mms-ocr adapt wrote"
            )
        )
    return folder / READER_WEIGHTS


def find_reader_onnx(folder: str | os.PathLike[str]) -> Path | None:
    """Find the reader in ONNX in a folder; None if there is none or it is not finished."""
    path = Path(folder, READER_ONNX)
    is_finished = path.with_name(READER_WEIGHTS).is_file() or not Path(folder, STATE_FILE).is_file()
    return path if path.is_file() and is_finished else None
