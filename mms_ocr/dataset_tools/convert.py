"""Conversion of word images between layouts, verified by reading the result back."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from mms_ocr.dataset_tools.layouts import open_writer
from mms_ocr.dataset_tools.records import Record, Records
from mms_ocr.dataset_tools.writer import WordWriter
from mms_ocr.datasets.sources import BrokenImageError
from mms_ocr.utils.progress import Progress, silent


@dataclass
class Conversion:
    """Number of words in the new set, and what is wrong with each word left out."""

    written: int = 0
    broken: list[str] = field(default_factory=list)


def convert_records(
    records: Records,
    path: str,
    max_broken: float = 0.01,
    progress: Progress = silent,
    textseg_split: str | None = None,
) -> Conversion:
    """Write words as a new set; see :func:`convert_sets`."""
    return convert_sets([(records, path)], max_broken, progress, textseg_split)[0]


def convert_sets(
    sets: Sequence[tuple[Records, str]],
    max_broken: float = 0.01,
    progress: Progress = silent,
    textseg_split: str | None = None,
) -> list[Conversion]:
    """Write words as new sets, without changing the bytes of their images.

    Broken images are left out, up to a share of ``max_broken`` of a set. The sets get their names
    after all of them were read back and compared with their sources, which are read a second time.
    A stopped conversion is resumed.

    Args:
        sets: Words, and the path of their new set.
        max_broken: Largest accepted share, in [0, 1].
        progress: Shows the progress.
        textseg_split: For :class:`mms_ocr.dataset_tools.records.MasksAsTextSeg`; this and the paths
            are those of :func:`mms_ocr.dataset_tools.layouts.open_writer`.

    Raises:
        ValueError: There are too many broken images, or none is left; or a value is out of range.
        OSError: The disk is full, or what was read back differs.
    """
    check_share(max_broken)
    results = []
    with contextlib.ExitStack() as stack:
        writers = []
        for records, path in sets:
            writer = stack.enter_context(open_writer(path, records.describe(), textseg_split))
            results.append(_write(records, writer, max_broken, progress))
            writers.append(writer)
        for writer in writers:
            writer.complete()
        for writer in writers:
            writer.finish()
    return results


def _write(
    records: Records, writer: WordWriter, max_broken: float, progress: Progress
) -> Conversion:
    words = (_read(records, index) for index in range(writer.read, len(records)))
    readable = (word if isinstance(word, Record) else None for word in words)
    writer.write(readable, len(records), progress=progress)
    result = _verify(records, writer, progress)
    if len(result.broken) > max_broken * len(records):
        raise ValueError(
            f"{len(result.broken):,} of {len(records):,} words of {records.path} are broken, "
            f"more than the accepted share of {max_broken:g}; the last: {result.broken[-1]}"
        )
    if not result.written:
        raise ValueError(f"no word of {records.path} can be read")
    return result


def check_share(max_broken: float) -> None:
    """Raise ValueError if a largest accepted share is no number in [0, 1]."""
    if not 0 <= max_broken <= 1:
        raise ValueError(f"the accepted share of broken ones is {max_broken}; give one in [0, 1]")


def _verify(records: Records, writer: WordWriter, progress: Progress) -> Conversion:
    result = Conversion()
    for index in progress(range(len(records)), "verifying", len(records)):
        record = _read(records, index)
        if isinstance(record, str):
            result.broken.append(record)
        elif result.written == writer.written or not writer.holds(result.written, record):
            raise OSError(
                f"word {index} of {records.path} differs from what {writer.part} holds: the source "
                f"changed or the disk is faulty; remove {writer.part} and convert again"
            )
        else:
            result.written += 1
    if result.written != writer.written:
        raise OSError(
            f"{writer.part} holds {writer.written:,} words, and its source {result.written:,}: the "
            "source changed; remove it and convert again"
        )
    return result


def _read(records: Records, index: int) -> Record | str:
    """Return the word, or what is wrong with it."""
    try:
        return records.read(index)
    except BrokenImageError as error:
        return str(error)
