"""Checks of labels, and their conversion to JSON lines."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mms_ocr.dataset_tools.annotations import (
    Annotation,
    find_data_root,
    plain_name,
    read_annotations,
)
from mms_ocr.dataset_tools.convert import check_share
from mms_ocr.datasets.sources import BrokenImageError, is_lmdb, open_source
from mms_ocr.utils.decoding import decode_image, read_image_file
from mms_ocr.utils.escaping import to_json
from mms_ocr.utils.files import atomic_write
from mms_ocr.utils.output_checks import check_outputs
from mms_ocr.utils.progress import Progress, silent

_SHOWN = 20


@dataclass
class LabelReport:
    """Counts of the labels of a set."""

    written: int = 0  # words accepted
    left_out: list[str] = field(default_factory=list)  # what is wrong with each word left out
    longest: str = ""  # label
    words_outside: int = 0  # words with characters outside the dictionary
    dropped: int = 0  # of those, words left out
    outside: Counter[str] = field(default_factory=Counter)  # characters outside the dictionary
    examples: dict[str, str] = field(default_factory=dict)  # a label with each of them
    first_labels: dict[str, str] = field(default_factory=dict)  # of each image file
    # Images with several labels that differ: the first and the last of them.
    contradicting: dict[str, tuple[str, str]] = field(default_factory=dict)

    def count(self, text: str, characters: frozenset[str] | None, image: str | None = None) -> bool:
        """Count a label, and return whether all of its characters are in the dictionary.

        ``image`` is the path of the image file, if it may have another label as well.
        """
        if image is not None and (first := self.first_labels.setdefault(image, text)) != text:
            self.contradicting[image] = first, text
        if len(text) > len(self.longest):
            self.longest = text
        known = text if characters is None else characters
        outside = [character for character in text if character not in known]
        self.words_outside += bool(outside)
        self.outside.update(outside)
        for character in outside:
            self.examples.setdefault(character, text)
        return not outside


def describe_report(report: LabelReport, dictionary: str | None) -> Iterator[str]:
    """Yield a report as lines for people; ``dictionary`` is the file of the dictionary, if any."""
    if report.left_out:
        yield f"left out {len(report.left_out):,} words; the last: {report.left_out[-1]}"
    if report.contradicting:
        image, (first, last) = next(iter(report.contradicting.items()))
        yield (
            f"images with several labels that differ: {len(report.contradicting):,}, such as "
            f"{image}: {first!r}, {last!r}"
        )
    yield f"longest label: {len(report.longest)} characters ({report.longest!r})"
    if dictionary is None:
        return
    if not report.words_outside:
        yield f"all characters are in {dictionary}"
        return
    kept = f"{report.dropped:,} left out" if report.dropped else "kept"
    yield (
        f"{report.words_outside:,} words have characters outside {dictionary} ({kept}), "
        f"{len(report.outside):,} different ones:"
    )
    for character, count in report.outside.most_common(_SHOWN):
        example = report.examples[character]
        yield f"  {character!r} U+{ord(character):04X}  {count:,} times, as in {example!r}"
    if len(report.outside) > _SHOWN:
        yield f"  … and {len(report.outside) - _SHOWN:,} more"


def check_labels(
    sources: Sequence[str],
    characters: frozenset[str] | None = None,
    progress: Progress = silent,
) -> LabelReport:
    """Check the labels of annotation files, LMDBs and folders, without decoding images.

    Characters outside of ``characters``, those of a dictionary, are counted.
    """
    report = LabelReport()
    for path in sources:
        is_set = Path(path).is_dir() or is_lmdb(path)
        for word in _words_of_set(path, progress) if is_set else read_annotations(path):
            if fault := _label_fault(word):
                report.left_out.append(f"{word.place}: {fault}")
            else:
                report.written += 1
                folder = os.path.dirname(path)
                image = None if is_set else os.path.join(folder, plain_name(word.filename))
                report.count(word.text or "", characters, image)
    return report


def _words_of_set(path: str, progress: Progress) -> Iterator[Annotation]:
    source = open_source(path)
    source.check_labels()
    for index in progress(range(len(source)), "checking labels", len(source)):
        try:
            raw = source.read(index, labelled=True)
            yield Annotation(raw.name, text=raw.text)
        except BrokenImageError as error:
            place, _, fault = str(error).partition(": ")
            yield Annotation(place, fault=fault)


def convert_labels(
    sources: Sequence[str],
    out: str,
    data_roots: Sequence[str] | None = None,
    *,
    characters: frozenset[str] | None = None,
    drop_outside: bool = False,
    check_images: bool = True,
    max_broken: float = 0.01,
    progress: Progress = silent,
) -> LabelReport:
    """Write the words of annotation files as JSON lines, with file names relative to ``out``.

    Words without a label, or without a readable image in their data root, are left out and
    reported. ``out`` is written whole or not at all.

    Args:
        sources: Annotation files, see :func:`read_annotations`.
        out: ``NAME.jsonl``, in the data roots or in a folder above them.
        data_roots: For each annotation file the folder that its file names are relative to; by
            default found by :func:`find_data_root`.
        characters: The characters of the dictionary; others are counted.
        drop_outside: Leave out words with other characters.
        check_images: Decode every image; otherwise it only has to exist.
        max_broken: Largest accepted share of words left out, in [0, 1].
        progress: Shows the progress.

    Raises:
        ValueError: A path leads out of its folder, or too many words are left out.
        OSError: ``out`` exists or cannot be written, or a file is missing.
    """
    if os.path.lexists(out):
        raise FileExistsError(f"{out} exists; remove it or choose another name")
    check_outputs([out], sources, suffixes=(".jsonl",))
    folder = os.path.dirname(os.path.abspath(out))
    check_share(max_broken)
    files = [read_annotations(source) for source in sources]
    roots = data_roots or [find_data_root(*pair) for pair in zip(sources, files)]
    for root in roots:
        if not _is_inside(os.path.abspath(root), folder):
            raise ValueError(
                f"the images are in {root!r}, which is not in the folder of {out!r}; write the "
                "JSON lines there, as no file name in them may lead out of their folder"
            )
    words = [(root, word) for root, entries in zip(roots, files) for word in entries]
    report, lines = LabelReport(), []
    for index in progress(range(len(words)), "checking labels", len(words)):
        root, word = words[index]
        path = _image_path(word, root)
        if fault := _label_fault(word) or _image_fault(path, check_images):
            report.left_out.append(f"{word.place}: {fault}")
        elif not report.count(word.text or "", characters, path) and drop_outside:
            report.dropped += 1
        else:
            name = os.path.relpath(path, folder).replace(os.sep, "/")
            lines.append(to_json(dict(filename=name, text=word.text)) + "\n")
    report.written = len(lines)
    if len(report.left_out) > max_broken * len(words):
        raise ValueError(
            f"{len(report.left_out):,} of {len(words):,} words cannot be used, more than the "
            f"accepted share of {max_broken:g}; the last: {report.left_out[-1]}"
        )
    if not lines:
        raise ValueError(f"no word of {', '.join(sources)} can be used")
    atomic_write(out, "".join(lines).encode())
    return report


def _label_fault(word: Annotation) -> str | None:
    if word.fault is None and not word.text:
        return "the label is empty" if word.text == "" else "there is no label"
    return word.fault


def _image_path(word: Annotation, root: str) -> str:
    path = os.path.normpath(os.path.join(os.path.abspath(root), plain_name(word.filename)))
    if not _is_inside(path, os.path.abspath(root)):
        raise ValueError(f"{word.place}: file name {word.filename!r} leads out of {root!r}")
    return path


def _image_fault(path: str, decode: bool) -> str | None:
    if not decode:
        return None if os.path.isfile(path) else f"{path}: there is no such image"
    try:
        data = read_image_file(path)
    except BrokenImageError as error:
        return str(error)
    try:
        decode_image(data)
    except BrokenImageError as error:
        return f"{path}: {error}"
    return None


def _is_inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
