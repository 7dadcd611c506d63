"""Checks of output paths before the work: they can be written, and replace no input.

Files are compared by identity, so that links and other spellings of a path count. Inputs are
files; folders, for the images and annotations in them; and JSON lines, for the files that they
name. Paths that do not exist are skipped.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mms_ocr.utils.escaping import file_name
from mms_ocr.utils.walking import IMAGE_SUFFIXES, file_identity

# Files in a folder of inputs that are read: images, LMDBs, fonts, annotations.
_INPUT_NAMES = (*IMAGE_SUFFIXES, ".mdb", ".ttf", ".otf", ".ttc", ".json", "labels.jsonl")
_FILE_SUFFIXES = (".jsonl", ".json", ".mdb", ".png", ".jpg", ".jpeg", ".pdf")

PathLike = str | os.PathLike[str]


def check_outputs(
    outputs: Iterable[PathLike],
    inputs: Iterable[PathLike],
    data_root: str | None = None,
    suffixes: Sequence[str] = (),
    new: Sequence[PathLike] = (),
) -> None:
    """Check files to be written.

    ``data_root`` is the folder that file names in JSON lines are relative to, by default their own.
    All ``suffixes`` but those of images are accepted by default; ``new`` are further outputs.

    Raises:
        ValueError: An output is an input or another output, or has another suffix.
        OSError: It cannot be written.
    """
    paths = [Path(output) for output in outputs]
    places = set(map(os.path.realpath, new))
    for path in paths:
        suffix = path.suffix.lower()
        if suffixes and suffix not in suffixes:
            raise ValueError(f"{path}: the name must end in {', '.join(suffixes)}")
        if not suffixes and suffix in IMAGE_SUFFIXES:
            raise ValueError(f"{path}: the output is not an image; give a name without {suffix}")
        if path.is_dir() or not path.name:
            raise IsADirectoryError(f"{path} is a folder; give the name of a file")
        if path.exists() and not path.is_file():
            continue  # a device
        _check_parent(path)
        place = os.path.realpath(path)
        if place in places:
            raise ValueError(f"two outputs are {path}; give each a name of its own")
        places.add(place)
    _refuse_inputs(paths, inputs, data_root)


def check_picture_folder(
    folder: PathLike, endings: tuple[str, ...], inputs: Iterable[PathLike]
) -> None:
    """Check a folder, existing or not, where pictures are written with some endings of names.

    Raises:
        ValueError: It is in a folder of inputs, or an input in it has the name of a picture.
        OSError: The folder cannot be made or written to.
    """
    folder, inputs = Path(folder), list(inputs)
    nearest = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not nearest.is_dir():
        raise NotADirectoryError(f"{nearest} is a file; give a folder to write to")
    _check_parent(nearest / "picture")
    _check_outside(folder, inputs)
    if folder.is_dir():
        pictures = [path for path in folder.iterdir() if path.name.lower().endswith(endings)]
        _refuse_inputs(pictures, inputs)


def check_set_name(path: PathLike) -> None:
    """Check that the name of a data set to be written is ``NAME.lmdb`` or that of a folder.

    Raises:
        ValueError: It is the name of a file, and not ``NAME.lmdb`` or a folder.
        IsADirectoryError: It is a folder such as ``.``.
    """
    if not Path(path).name:
        raise IsADirectoryError(f"{path} is a folder; give the name of a new one")
    if Path(path).suffix.lower() in _FILE_SUFFIXES:
        raise ValueError(
            f"{path} is the name of a file; give NAME.lmdb, or a folder, which gets the images and "
            "labels.jsonl"
        )


def check_new_set(path: PathLike, inputs: Iterable[PathLike]) -> None:
    """Check a data set to be written, ``NAME.lmdb`` or a folder, which is built as ``NAME.part``.

    Raises:
        ValueError: Its name is that of a file; a folder of images is in a folder of inputs; or an
            input is in ``NAME.part``.
        OSError: The folder for it is missing or read-only, or the path is a folder such as ``.``.
    """
    check_set_name(path)
    path, inputs = Path(path), list(inputs)
    _check_parent(path)
    for source in inputs:
        if around := folder_around(source, [path.with_name(path.name + ".part")]):
            raise ValueError(
                f"{os.fspath(source)} is in {around}, where {path} is built; choose another name"
            )
    if path.suffix.lower() != ".lmdb":
        _check_outside(path, inputs)


def folder_around(path: PathLike, folders: Iterable[PathLike]) -> str | None:
    """Find the folder that a path, existing or not, is or is in by any link; None if none is."""
    known = {file_identity(each): os.fspath(each) for each in folders if os.path.isdir(each)}
    real = Path(os.path.realpath(path))
    around = (known.get(file_identity(place)) for place in (real, *real.parents))
    return next(filter(None, around), None)


def _check_parent(path: Path) -> None:
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such folder to write {path.name}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PermissionError(f"{path} cannot be written: {path.parent} is read-only")


def _check_outside(folder: Path, inputs: Sequence[PathLike]) -> None:
    if around := folder_around(folder, inputs):
        raise ValueError(
            f"outputs in {folder} would be among the images of {around}, and read by the next run; "
            "give a folder outside"
        )


def _refuse_inputs(
    outputs: Iterable[PathLike], inputs: Iterable[PathLike], data_root: str | None = None
) -> None:
    written = {file_identity(path): path for path in outputs if os.path.exists(path)}
    for path in _input_files(inputs, data_root) if written else ():
        if (identity := file_identity(path)) in written:
            raise ValueError(f"{written[identity]} is the input {path}; choose another output")


def _input_files(inputs: Iterable[PathLike], data_root: str | None) -> Iterator[str]:
    """Yield the files that are read."""
    seen = set()
    for source in (os.fspath(path) for path in inputs):
        yield source
        for root, folders, names in os.walk(source, followlinks=True):
            if (identity := file_identity(root)) in seen:  # a loop of links
                folders.clear()
            seen.add(identity)
            yield from (os.path.join(root, n) for n in names if n.lower().endswith(_INPUT_NAMES))
        if source.lower().endswith((".jsonl", ".json")) and os.path.isfile(source):
            yield from _files_named_in(source, data_root or os.path.dirname(source))


def _files_named_in(jsonl: str, root: str) -> Iterator[str]:
    with open(jsonl, "rb") as file:
        for line in file:
            with contextlib.suppress(ValueError, RecursionError):  # reported when it is read
                fields = json.loads(line)
                for value in fields.values() if isinstance(fields, dict) else ():
                    if isinstance(value, str) and (name := file_name(value)):
                        yield os.path.join(root, name)
