"""Checks of output paths before the work: they can be written, and replace no input."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mms_ocr.utils.escaping import file_name
from mms_ocr.utils.walking import IMAGE_SUFFIXES
from mms_ocr.utils.writing import check_place

# Of the files in a folder of inputs, those that are read: images, LMDBs, fonts, annotations.
_INPUT_NAMES = (*IMAGE_SUFFIXES, ".img", ".mdb", ".ttf", ".otf", ".ttc", ".json", "labels.jsonl")


def check_outputs(
    outputs: Iterable[str | os.PathLike[str]],
    inputs: Iterable[str | os.PathLike[str]],
    data_root: str | None = None,
    suffixes: Sequence[str] = (),
    new: Sequence[str | os.PathLike[str]] = (),
) -> None:
    """Refuse, before the work, files that cannot be written or that are inputs.

    Files are compared by what they are, not by name, so that links and other spellings of a path
    count. Whether an existing output is among the inputs is looked up file by file, which takes a
    second for some 100,000 of them.

    Args:
        outputs: The files to write.
        inputs: What is read: files; folders, for the images and annotations in them; JSON lines,
            for the files that they name. Paths that do not exist are passed over.
        data_root: Folder that file names in JSON lines are relative to (their own).
        suffixes: What the names of the outputs end in, such as those of pictures; without them the
            outputs are text or weights, which do not get the name of an image.
        new: What else is written, and checked elsewhere.

    Raises:
        ValueError: An output is an input or another output, or has another suffix.
        OSError: It cannot be written there, see :func:`check_place`.
    """
    inputs = list(inputs)
    paths = [check_place(output, suffixes) for output in outputs]
    places = set(map(os.path.realpath, new))
    for path in paths:
        if not suffixes and path.suffix.lower() in IMAGE_SUFFIXES:
            raise ValueError(f"{path}: no image is written there; give a name of another suffix")
        place = os.path.realpath(path)
        if place in places and (path.is_file() or not path.exists()):
            raise ValueError(f"{path} is named for two outputs; give each a name of its own")
        places.add(place)
    _refuse_inputs(paths, inputs, data_root)


def check_picture_folder(
    folder: str | os.PathLike[str],
    endings: tuple[str, ...],
    inputs: Iterable[str | os.PathLike[str]],
) -> None:
    """Refuse, before the work, a folder where pictures would be written over inputs.

    Args:
        folder: The folder; it may not exist yet.
        endings: What the names of the pictures end in, in lower case.
        inputs: See :func:`check_outputs`.

    Raises:
        ValueError: The folder is, or lies in, a folder of inputs; or an input in it has the name of
            a picture.
        OSError: The folder cannot be made or written to.
    """
    folder, inputs = Path(folder), list(inputs)
    nearest = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not nearest.is_dir():
        raise NotADirectoryError(f"{nearest} is a file; give a folder to write to")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(f"{nearest} is read-only; give another folder to write to")
    _check_outside(folder, inputs)
    if folder.is_dir():
        with os.scandir(folder) as entries:
            pictures = [entry.path for entry in entries if entry.name.lower().endswith(endings)]
        _refuse_inputs(pictures, inputs)


def check_new_set(path: str | os.PathLike[str], inputs: Iterable[str | os.PathLike[str]]) -> None:
    """Refuse, before the work, the name of a data set that would be made amid its inputs.

    Args:
        path: ``NAME.lmdb``, or a folder of images; it is made as ``NAME.part`` and then renamed.
        inputs: See :func:`check_outputs`.

    Raises:
        ValueError: A folder of images lies in a folder of inputs, or an input in ``NAME.part``.
        OSError: The folder to make it in is read-only, or the path is a folder such as ``.``.
    """
    path, inputs = Path(path), list(inputs)
    if not path.name:
        raise IsADirectoryError(f"{path} is a folder; give the name of a new one")
    if path.parent.is_dir() and not os.access(path.parent, os.W_OK | os.X_OK):
        raise PermissionError(f"{path} cannot be written: {path.parent} is read-only")
    for given in inputs:
        if around := folder_around(given, [path.with_name(path.name + ".part")]):
            raise ValueError(
                f"{os.fspath(given)} is in {around}, where {path} is kept until it is whole; "
                "choose another name"
            )
    if path.suffix.lower() != ".lmdb":
        _check_outside(path, inputs)


def folder_around(
    path: str | os.PathLike[str], folders: Iterable[str | os.PathLike[str]]
) -> str | None:
    """Find the folder that a path is, or is in, by any link; None if there is none.

    Args:
        path: The path; it may not exist.
        folders: Paths, of which those that are no folders are passed over.
    """
    known = {_identity(folder): os.fspath(folder) for folder in folders if os.path.isdir(folder)}
    real = Path(os.path.realpath(path))
    around = (known.get(_identity(place)) for place in (real, *real.parents))
    return next(filter(None, around), None)


def check_unfinished(folder: Path, plan: str, lock: str) -> None:
    """Refuse to write into a folder that is there and was not begun by the same command.

    Args:
        folder: ``NAME.part``.
        plan: Name of the file that the command begins it with.
        lock: Name of its lock.

    Raises:
        ValueError: It holds files, and ``plan`` is not among them.
    """
    names = {file.name for file in folder.iterdir()}
    if plan not in names and names - {lock, Path(plan).with_suffix(".new").name}:
        raise ValueError(
            f"{folder}: cannot be resumed (it holds other files); remove it or rename it"
        )


def _check_outside(folder: Path, inputs: Sequence[str | os.PathLike[str]]) -> None:
    if around := folder_around(folder, inputs):
        raise ValueError(
            f"outputs in {folder} would be among the images of {around}: the next run would read "
            "what this one writes; give a folder outside"
        )


def _refuse_inputs(
    outputs: Iterable[str | os.PathLike[str]],
    inputs: Sequence[str | os.PathLike[str]],
    data_root: str | None = None,
) -> None:
    written = {_identity(path): path for path in outputs}
    written.pop(None, None)  # of those that do not exist
    for path in _input_files(inputs, data_root) if written else ():
        if (identity := _identity(path)) in written:
            raise ValueError(
                f"{written[identity]} is the file that is read as {path}; write to another one"
            )


def _input_files(inputs: Iterable[str | os.PathLike[str]], data_root: str | None) -> Iterator[str]:
    """Files that are read; a folder's are its images, LMDB, fonts and annotations."""
    seen = set()
    for given in inputs:
        given = os.fspath(given)
        yield given
        for root, folders, names in os.walk(given, followlinks=True):
            if (identity := _identity(root)) in seen:  # a loop of links
                folders.clear()
            seen.add(identity)
            for name in names:
                if name.lower().endswith(_INPUT_NAMES):
                    yield os.path.join(root, name)
        if os.path.isfile(given):
            yield from _files_named_in(given, data_root or os.path.dirname(given))


def _files_named_in(jsonl: str, root: str) -> Iterator[str]:
    with open(jsonl, "rb") as file:
        is_json = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
        file.seek(0)
        for line in file if is_json else ():
            with contextlib.suppress(ValueError, RecursionError):  # reported when it is read
                fields = json.loads(line)
                for value in fields.values() if isinstance(fields, dict) else ():
                    if isinstance(value, str) and (name := file_name(value)):
                        yield os.path.join(root, name)


def _identity(path: str | os.PathLike[str]) -> Any:
    """What is the same for all names of a file; None where there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: no name that a file can have
        return None
    # Some file systems, mostly of other machines, number no files.
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)
