"""From any layout of word images to another one, verified by reading it back."""

from __future__ import annotations

from dataclasses import dataclass, field

from mms_ocr.dataset_tools.conversion.writers import RecordWriter, open_writer
from mms_ocr.datasets.sources import BrokenImageError
from mms_ocr.datasets.sources.records import Record, Records
from mms_ocr.utils.progress import Progress, silent

_CHUNK_WORDS = 1000
_CHUNK_BYTES = 1 << 25


@dataclass
class Conversion:
    """What a conversion did.

    Attributes:
        written: Words in the new set.
        broken: What was wrong with each word that was left out.
    """

    written: int = 0
    broken: list[str] = field(default_factory=list)


def convert_records(
    records: Records,
    path: str,
    max_broken: float = 0.01,
    progress: Progress = silent,
    textseg_split: str | None = None,
) -> Conversion:
    """Write words as an LMDB (``path`` ends in ``.lmdb``) or a folder with ``labels.jsonl``.

    Or, with ``textseg_split``, as a folder as TextSeg is released. The bytes of the images are kept
    as they are. Broken images are left out. The new set gets its name when all of it was read back
    and equals the source, read a second time; what a stopped conversion has written is gone on
    with.

    Args:
        records: What to write.
        path: What the new set is called.
        max_broken: Share of broken images from which on nothing is written.
        progress: Shows how far it is.
        textseg_split: ``'train'``, ``'val'`` or ``'test'`` asks for TextSeg's layout, with all
            words in that split; the words are then :class:`MasksAsTextSeg`.

    Raises:
        FileExistsError: Something is at ``path``.
        ValueError: There are too many broken images, or the unfinished set at ``path`` is of
            another source.
        OSError: The disk is full, or what was read back differs.
    """
    plan = records.describe()
    if textseg_split is not None:
        plan.update(layout="textseg", split=textseg_split)
    with open_writer(path, plan) as writer:
        _write(records, writer, progress)
        result = _verify(records, writer, progress)
        if len(result.broken) > max_broken * len(records):
            raise ValueError(
                f"{len(result.broken):,} of {len(records):,} words of {records.path} are broken, "
                f"more than the accepted share of {max_broken:g}; the last: {result.broken[-1]}"
            )
        if not result.written:
            raise ValueError(f"not one word of {records.path} can be read")
        writer.finish()
    return result


def _write(records: Records, writer: RecordWriter, progress: Progress) -> None:
    chunk: list[Record] = []
    size = 0
    first = writer.read
    for index in progress(range(first, len(records)), "writing", len(records)):
        record = _read(records, index)
        if isinstance(record, Record):
            chunk.append(record)
            size += sum(map(len, record.images.values()))
        if len(chunk) == _CHUNK_WORDS or size > _CHUNK_BYTES or index == len(records) - 1:
            writer.append(chunk, index + 1)
            chunk, size = [], 0


def _verify(records: Records, writer: RecordWriter, progress: Progress) -> Conversion:
    result = Conversion()
    for index in progress(range(len(records)), "verifying", len(records)):
        record = _read(records, index)
        if isinstance(record, str):
            result.broken.append(record)
        elif result.written == writer.written or writer.read_back(result.written) != record:
            raise OSError(
                f"word {index} of {records.path} is not in {writer.part} as it was read: the "
                f"source changed or the disk is faulty; remove {writer.part} and convert again"
            )
        else:
            result.written += 1
    if result.written != writer.written:
        raise OSError(
            f"{writer.part} has {writer.written:,} words, and its source {result.written:,}: the "
            "source changed; remove it and convert again"
        )
    return result


def _read(records: Records, index: int) -> Record | str:
    """The word, or what is wrong with it."""
    try:
        return records.read(index)
    except BrokenImageError as error:
        return str(error)
