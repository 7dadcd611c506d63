"""Weights in the package, by name: ``mms_ocr://NAME``."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path

import mms_ocr

SCHEME = "mms_ocr://"
SUFFIX = ".safetensors"
#: What the names of checkpoints end in.
CHECKPOINT_SUFFIXES = (".pth", ".pt", ".ckpt", SUFFIX)
#: Where the files are.
FOLDER = Path(mms_ocr.__file__).parent / "zoo"


def bundled_names() -> list[str]:
    """Names of the weights that are in this installation."""
    return sorted(path.stem for path in FOLDER.glob(f"*{SUFFIX}"))


def bundled_file(name: str) -> Path:
    """File of bundled weights.

    Args:
        name: With or without ``mms_ocr://``.

    Raises:
        FileNotFoundError: There are none of that name.
    """
    name, names = name.removeprefix(SCHEME), bundled_names()
    if name not in names:
        near = get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        known = f"bundled are {', '.join(names)}" if names else "this version bundles none"
        raise FileNotFoundError(f"no checkpoint or bundled weights {name!r}: {hint}{known}")
    return FOLDER / f"{name}{SUFFIX}"


def name_checkpoint(given: str | os.PathLike[str]) -> str:
    """The checkpoint that a user means: a file, ``mms_ocr://NAME``, or the bare ``NAME``.

    Returns:
        A file, which may not exist, or ``mms_ocr://NAME``, which does.

    Raises:
        FileNotFoundError: It is a name, and no weights of that name are bundled.
    """
    given = os.fspath(given)
    is_name = not (Path(given).suffix or os.path.dirname(given) or os.path.exists(given))
    if is_name or given.startswith(SCHEME):
        return SCHEME + bundled_file(given).stem
    return given
