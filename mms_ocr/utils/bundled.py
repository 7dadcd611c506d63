"""Bundled weights, by name: ``mms_ocr://NAME``."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path

import mms_ocr
from mms_ocr.utils.reader_folder import find_reader

SCHEME = "mms_ocr://"
SUFFIX = ".safetensors"
#: Suffix of models in ONNX, which run without torch.
ONNX_SUFFIX = ".onnx"
#: Suffixes of checkpoints.
CHECKPOINT_SUFFIXES = (".pth", ".pt", ".ckpt", SUFFIX)
#: Where the files are.
FOLDER = Path(mms_ocr.__file__).parent / "zoo"


def is_onnx(weights: str | os.PathLike[str]) -> bool:
    """Return whether weights are named as a model in ONNX."""
    return os.fspath(weights).lower().endswith(ONNX_SUFFIX)


def bundled_names() -> list[str]:
    """List the weights of this installation."""
    return sorted(path.stem for path in FOLDER.glob(f"*{SUFFIX}"))


def bundled_file(name: str) -> Path:
    """Find the file of bundled weights, by name with or without ``mms_ocr://``.

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


def bundled_onnx(name: str) -> Path:
    """Return where the bundled model in ONNX of some weights would be, by name or file name."""
    return FOLDER / (name.removeprefix(SCHEME).removesuffix(ONNX_SUFFIX) + ONNX_SUFFIX)


def name_checkpoint(given: str | os.PathLike[str]) -> str:
    """Resolve a file, ``mms_ocr://NAME`` or ``NAME`` to a file or ``mms_ocr://NAME``.

    A folder that ``mms-ocr adapt`` wrote becomes the checkpoint in it.

    Raises:
        FileNotFoundError: It is a name, and no such weights are bundled; or a folder without them.
    """
    given = os.fspath(given)
    if os.path.isdir(given):
        return str(find_reader(given))
    is_name = not (Path(given).suffix or os.path.dirname(given) or os.path.exists(given))
    if is_name or given.startswith(SCHEME):
        return SCHEME + bundled_file(given).stem
    return given
