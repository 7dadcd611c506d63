"""Conversion of word images between layouts, verified by reading the result back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from mms_ocr.dataset_tools.layouts import open_writer
from mms_ocr.dataset_tools.writer import WordWriter
from mms_ocr.datasets.sources import BrokenImageError, JsonlSource, LmdbSource, is_lmdb
from mms_ocr.datasets.sources.opening import open_labels_in
from mms_ocr.datasets.sources.records import (
    PairRecords,
    Record,
    Records,
    TextSegRecords,
    WordRecords,
)
from mms_ocr.utils.layouts import is_json_lines, is_textseg
from mms_ocr.utils.progress import Progress, silent

#: Words with or without masks; pairs of a high and a low resolution; TextSeg as it is released.
LAYOUTS = ("words", "textzoom", "textseg")


@dataclass
class Conversion:
    """Result of a conversion."""

    written: int = 0  # words in the new set
    broken: list[str] = field(default_factory=list)  # what is wrong with each word left out


def guess_layout(path: str) -> str:
    """Return which of :data:`LAYOUTS` a data set has."""
    if is_textseg(path):
        return "textseg"
    if is_lmdb(path):
        try:
            LmdbSource(path, image_key="image_hr-%09d")
        except (ValueError, FileNotFoundError):
            return "words"
        return "textzoom"
    is_lines = is_json_lines(path) and os.path.isfile(path)
    lines = JsonlSource(path) if is_lines else open_labels_in(path)
    if lines is not None:
        return "textzoom" if lines.has_field("image_hr") else "words"
    has_pairs = all(os.path.isdir(os.path.join(path, name)) for name in ("hr", "lr"))
    return "textzoom" if has_pairs else "words"


def open_records(
    path: str,
    layout: str | None = None,
    data_root: str | None = None,
    splits: Sequence[str] = ("train", "val"),
) -> Records:
    """Open the words of a folder, an LMDB or JSON lines.

    The layout is one of :data:`LAYOUTS`, and guessed by default. ``data_root`` is for JSON lines:
    the folder that file names are relative to. ``splits`` is for TextSeg.
    """
    layout = layout or guess_layout(path)
    if layout == "textseg":
        return TextSegRecords(path, splits)
    return (PairRecords if layout == "textzoom" else WordRecords)(path, data_root)


def convert_records(
    records: Records,
    path: str,
    max_broken: float = 0.01,
    progress: Progress = silent,
    textseg_split: str | None = None,
) -> Conversion:
    """Write words as a new set, without changing the bytes of their images.

    Broken images are left out. The set gets its name after all of it was read back and compared
    with the source, which is read a second time. A stopped conversion is resumed.

    Args:
        records: The words.
        path: The new set; see :func:`mms_ocr.dataset_tools.layouts.open_writer`.
        max_broken: Largest accepted share of broken images.
        progress: Shows the progress.
        textseg_split: Write TextSeg's layout, with all words in this split; the words are then
            :class:`mms_ocr.dataset_tools.textseg.MasksAsTextSeg`.

    Raises:
        FileExistsError: ``path`` exists.
        ValueError: There are too many broken images, or the unfinished set at ``path`` has another
            source.
        OSError: The disk is full, or what was read back differs.
    """
    with open_writer(path, records.describe(), textseg_split) as writer:
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
        writer.finish()
    return result


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
