"""Several labelled test sets in one data set, each with results of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mms_ocr.datasets.sources import ImageSource
from mms_ocr.datasets.word_images import WordImageDataset
from mms_ocr.registry import DATASETS
from mms_ocr.utils.decoding import decode_image
from mms_ocr.utils.errors import BrokenImageError

_SUFFIXES = (".lmdb", ".jsonl")
_FILES_IN_FOLDER = ("annotation.jsonl", "labels.jsonl", "test.jsonl")  # as sets are released
_CHECKED_WORDS = 10  # of each set, of which one has to be readable


@dataclass(frozen=True)
class BenchmarkSet:
    """One test set of a benchmark.

    Attributes:
        name: Name in options and results.
        title: Name in the table.
        path: Where it is.
        start: Index of its first image in the data set.
        stop: Index after its last.
        expected: Number of its images in papers; None if unknown.
        in_average: Whether it counts in the mean of the sets.
    """

    name: str
    title: str
    path: str
    start: int
    stop: int
    expected: int | None = None
    in_average: bool = True


@DATASETS.register_module()
class BenchmarkDataset(WordImageDataset):
    """Labelled test sets, one after the other; ``metainfo['benchmark']`` gives their indices.

    Args:
        sets: For each set, by name: its ``path`` below ``root``, and optionally ``title``,
            ``images`` (their number in papers), ``in_average`` and ``origin`` (how to get it). A
            path may omit the suffix; see :func:`find_labelled_set`.
        pipeline: Transforms or their configs; they have to keep ``sample_idx`` in the metainfo.
        root: Folder that relative paths start from.
        chosen: Names of the sets to test on; by default all of them.
        max_broken: Share of a set's images above which its results are refused. Up to it, broken
            images are left out and counted.
        **kwargs: Further arguments of :class:`WordImageDataset`; labels are always read.

    Raises:
        FileNotFoundError: Sets are missing; the message names all of them.
        ValueError: There are no sets, a chosen one is unknown or unreadable, or ``indices`` do not
            ascend.
    """

    def __init__(
        self,
        sets: Mapping[str, Mapping[str, Any]],
        pipeline: Sequence[dict | Callable] = (),
        *,
        root: str = "",
        chosen: Sequence[str] | None = None,
        max_broken: float = 0.01,
        **kwargs: Any,
    ) -> None:
        if not sets:
            raise ValueError("a benchmark needs at least one test set")
        if unknown := [name for name in chosen or () if name not in sets]:
            raise ValueError(f"no test set {', '.join(unknown)} here: there are {', '.join(sets)}")
        names = [name for name in sets if chosen is None or name in chosen]
        paths = _find_all(sets, names, root)
        # The metric checks broken images set by set: in the whole, a small broken set is not seen.
        super().__init__(list(paths.values()), pipeline, labelled=True, max_broken=1.0, **kwargs)
        self.sets = self._locate_sets(sets, paths)
        for benchmark_set, source in zip(self.sets, self.sources):
            _check_readable(benchmark_set, source)
        self._metainfo["benchmark"] = dict(
            sets=[asdict(benchmark_set) for benchmark_set in self.sets], max_broken=max_broken
        )

    def _locate_sets(
        self, sets: Mapping[str, Mapping[str, Any]], paths: Mapping[str, str]
    ) -> list[BenchmarkSet]:
        positions = np.arange(self._starts[-1]) if self._chosen is None else self._chosen
        if (np.diff(positions) <= 0).any():
            raise ValueError("indices of a benchmark have to ascend, without repetition")
        ends = np.searchsorted(positions, self._starts)
        return [
            BenchmarkSet(
                name,
                sets[name].get("title", name),
                paths[name],
                int(start),
                int(stop),
                sets[name].get("images"),
                sets[name].get("in_average", True),
            )
            for name, start, stop in zip(paths, ends[:-1], ends[1:])
        ]


def find_labelled_set(path: str) -> str:
    """Find the file or folder of a labelled set.

    Args:
        path: An LMDB or annotation file; or the same without ``.lmdb`` or ``.jsonl``; or, if none
            of these exists, a folder with ``annotation.jsonl``, ``labels.jsonl`` or ``test.jsonl``.

    Raises:
        FileNotFoundError: There is none.
        ValueError: There are several.
    """
    candidates = [path + suffix for suffix in _SUFFIXES if os.path.exists(path + suffix)]
    if os.path.isfile(path) or os.path.isfile(os.path.join(path, "data.mdb")):
        candidates.insert(0, path)
    if not candidates:
        files = [os.path.join(path, name) for name in _FILES_IN_FOLDER]
        candidates = [file for file in files if os.path.isfile(file)]
    if not candidates:
        raise FileNotFoundError(
            f"no test set at {path!r} (an LMDB or JSON lines: {path}[.lmdb|.jsonl], or "
            f"{'|'.join(_FILES_IN_FOLDER)} in that folder)"
        )
    if len(candidates) > 1:
        raise ValueError(f"several test sets: {' and '.join(candidates)}; give the path of one")
    return candidates[0]


def _find_all(
    sets: Mapping[str, Mapping[str, Any]], names: Sequence[str], root: str
) -> dict[str, str]:
    paths, missing = {}, []
    for name in names:
        path = os.path.join(root, sets[name]["path"])
        try:
            paths[name] = find_labelled_set(path)
        except FileNotFoundError:
            notes = [sets[name].get("origin"), "a folder without labels" * os.path.isdir(path)]
            note = ", ".join(filter(None, notes))
            missing.append(f"{name} at {path}" + (f" ({note})" if note else ""))
    if missing:
        present = (
            f"Present: {', '.join(paths)}; --sets NAME … tests on these alone"
            if paths
            else "None is present"
        )
        raise FileNotFoundError(
            f"{len(missing)} of {len(names)} test sets are missing: {'; '.join(missing)}. Each is "
            "an LMDB or JSON lines: that path with .lmdb or .jsonl, a folder with data.mdb, or a "
            f"folder with {' or '.join(_FILES_IN_FOLDER)}. {present}. docs/reading.md explains how "
            "to get them"
        )
    return paths


def _check_readable(benchmark_set: BenchmarkSet, source: ImageSource) -> None:
    count = min(_CHECKED_WORDS, len(source))
    for index in range(count):
        try:
            decode_image(source.read(index, labelled=True).data)
        except BrokenImageError as error:
            last = error
        else:
            return
    raise ValueError(
        f"test set {benchmark_set.name}: none of the first {count} words of {benchmark_set.path} "
        f"can be read; {last}. If file names are relative to another folder, convert the set first "
        "(docs/reading.md)"
    )
