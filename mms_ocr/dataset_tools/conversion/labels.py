"""From annotation files to one file of JSON lines, checked, and resumed after a stop."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

from mms_ocr.dataset_tools.conversion.annotations import Annotation, read_annotations
from mms_ocr.dataset_tools.conversion.data_roots import find_data_root, plain_name
from mms_ocr.dataset_tools.conversion.label_checks import LabelReport
from mms_ocr.datasets.sources import BrokenImageError, JsonlSource
from mms_ocr.utils.decoding import decode_image
from mms_ocr.utils.escaping import to_json
from mms_ocr.utils.progress import Progress, silent

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

_PAUSE = 2.0  # seconds between two notes of how far it is


def convert_labels(
    sources: Sequence[str],
    out: str,
    data_root: str | Sequence[str] | None = None,
    *,
    characters: frozenset[str] | None = None,
    drop_outside: bool = False,
    check_images: bool = True,
    max_broken: float = 0.01,
    progress: Progress = silent,
) -> LabelReport:
    """Write the words of annotation files as JSON lines, with file names relative to ``out``.

    Every label has to be there and not empty, and every image to lie in ``data_root`` and to be
    readable; other words are left out and reported. ``out`` appears when all is written and was
    read back; a stopped conversion is resumed.

    Args:
        sources: Annotation files, see :func:`read_annotations`.
        out: ``NAME.jsonl``, in ``data_root`` or a folder above it.
        data_root: Folder that file names are relative to, or one for each annotation file; by
            default found for each by :func:`find_data_root`.
        characters: Of the dictionary; others are counted.
        drop_outside: Whether words with other characters are left out.
        check_images: Whether every image is decoded; else it only has to exist.
        max_broken: Share of words left out, from which on nothing is written.
        progress: Shows how far it is.

    Raises:
        FileExistsError: ``out`` exists.
        FileNotFoundError: An annotation file, its images, or the folder of ``out`` is missing.
        ValueError: A path leads out of its folder; too many words are left out; or a conversion
            with other options was begun at ``out``.
        BlockingIOError: Another process is writing it.
    """
    if Path(out).suffix != ".jsonl":
        raise ValueError(f"{out!r}: labels are written as NAME.jsonl")
    if os.path.exists(out):
        raise FileExistsError(f"{out} exists: remove it or choose another name")
    folder = os.path.dirname(os.path.abspath(out))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"there is no folder {folder!r} to write into")
    if data_root is None:
        roots = [find_data_root(source) for source in sources]
    else:
        roots = [data_root] * len(sources) if isinstance(data_root, str) else list(data_root)
    for root in roots:
        if not _is_inside(os.path.abspath(root), folder):
            raise ValueError(
                f"the images lie in {root!r}, which is not in the folder of {out!r}: write the "
                "JSON lines there, since no file name in them may lead out of their folder"
            )
    counts = [sum(1 for _ in read_annotations(source)) for source in sources]
    plan = dict(
        sources=[os.path.abspath(source) for source in sources],
        versions=[(os.path.getsize(source), os.stat(source).st_mtime_ns) for source in sources],
        roots=[os.path.abspath(root) for root in roots],
        characters=None if characters is None else sorted(characters),
        drop_outside=drop_outside,
        check_images=check_images,
    )
    total = sum(counts)
    with _part_of(out, plan) as (file, state):
        report, done = LabelReport.from_dict(state["report"]), state["done"]
        _note(out, file, plan, done, report)  # from now on the file is known as begun by this
        entries = chain.from_iterable(
            ((root, entry) for entry in read_annotations(source))
            for source, root in zip(sources, roots)
        )
        rest = islice(entries, done, None)
        noted = time.monotonic()
        for index in progress(range(done, total), "checking labels", total):
            root, annotation = next(rest)
            line = _line(annotation, root, folder, characters, drop_outside, check_images, report)
            if line is not None:
                file.write(to_json(line) + "\n")
                report.written += 1
            if time.monotonic() - noted > _PAUSE:
                _note(out, file, plan, index + 1, report)
                noted = time.monotonic()
        _note(out, file, plan, total, report)
        if len(report.left_out) > max_broken * total:
            # Not resumed: what was wrong may be mended by then.
            os.unlink(_state(out))
            if fcntl is None:
                file.close()  # Windows deletes and renames no open file
            os.unlink(_part(out))
            raise ValueError(
                f"{len(report.left_out):,} of {total:,} words cannot be used, more than the "
                f"accepted share of {max_broken:g}; the last: {report.left_out[-1]}"
            )
        if not report.written:
            raise ValueError(f"not one word of {', '.join(sources)} can be used")
        if fcntl is None:
            file.close()
        _check_written(out, folder, report.written)
        # As long as no other process can take what is finished for something to resume.
        os.rename(_part(out), out)
        os.unlink(_state(out))
    return report


def _check_written(out: str, folder: str, expected: int) -> None:
    written = JsonlSource(_part(out), folder)
    written.check_labels()
    if len(written) != expected:
        raise OSError(
            f"{_part(out)} has {len(written):,} lines, not {expected:,}: the disk is faulty, or "
            f"something else wrote to it; remove it and {_state(out)}, and repeat"
        )


def _line(
    annotation: Annotation,
    root: str,
    folder: str,
    characters: frozenset[str] | None,
    drop_outside: bool,
    check_images: bool,
    report: LabelReport,
) -> dict[str, str] | None:
    """The line to write for a word; None, and the reason in the report, where it is left out."""
    fault = annotation.fault
    path = os.path.normpath(os.path.join(os.path.abspath(root), plain_name(annotation.filename)))
    if fault is None and not _is_inside(path, os.path.abspath(root)):
        raise ValueError(
            f"{annotation.place}: file name {annotation.filename!r} leads out of {root!r}"
        )
    if fault is None and not annotation.text:
        fault = "the label is empty" if annotation.text == "" else "there is no label"
    if fault is None:
        fault = _image_fault(path, check_images)
    if fault is not None or annotation.text is None:
        report.left_out.append(f"{annotation.place}: {fault}")
        return None
    if not report.look_at(annotation.text, characters) and drop_outside:
        report.dropped += 1
        return None
    name = os.path.relpath(path, folder).replace(os.sep, "/")
    return dict(filename=name, text=annotation.text)


def _image_fault(path: str, decode: bool) -> str | None:
    try:
        if not decode:
            return None if os.path.isfile(path) else f"{path}: there is no such image"
        decode_image(Path(path).read_bytes())
    except (BrokenImageError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return f"{path}: {reason}"
    return None


def _is_inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _part(out: str) -> str:
    return f"{out}.part"


def _state(out: str) -> str:
    return f"{out}.part.json"


@contextmanager
def _part_of(out: str, plan: dict[str, Any]) -> Iterator[tuple[TextIO, dict[str, Any]]]:
    """The unfinished file, put where its last note says, and that note."""
    with open(_part(out), "a+", encoding="utf-8") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BlockingIOError(f"another process is writing {_part(out)}: wait for it")
        if os.path.exists(out):  # another process has just finished
            if os.path.isfile(_part(out)) and not os.path.getsize(_part(out)):
                os.unlink(_part(out))
            raise FileExistsError(f"{out} exists: remove it or choose another name")
        state: dict[str, Any] = dict(done=0, size=0, report=LabelReport().to_dict())
        if os.path.isfile(_state(out)):
            state = json.loads(Path(_state(out)).read_text(encoding="utf-8"))
            if not isinstance(state, dict) or state.get("plan") != json.loads(json.dumps(plan)):
                raise ValueError(
                    f"{_part(out)} was begun with other annotation files or options: repeat that "
                    f"command, or remove it and {_state(out)}"
                )
            if os.fstat(file.fileno()).st_size < state["size"]:
                # Removed, or lost with the power: what was noted is not there to resume.
                state = dict(done=0, size=0, report=LabelReport().to_dict())
        elif os.fstat(file.fileno()).st_size:
            raise FileExistsError(
                f"{_part(out)} exists and is not of this command: rename or remove it"
            )
        file.truncate(state["size"])  # what was written after the last note is written again
        file.seek(0, os.SEEK_END)
        yield file, state


def _note(out: str, file: TextIO, plan: dict[str, Any], done: int, report: LabelReport) -> None:
    file.flush()
    size = os.path.getsize(_part(out))
    state = dict(plan=plan, done=done, size=size, report=report.to_dict())
    fresh = Path(_state(out) + ".new")
    fresh.write_text(json.dumps(state), encoding="utf-8")
    os.replace(fresh, _state(out))
