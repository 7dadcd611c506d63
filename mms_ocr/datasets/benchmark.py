"""Several labelled test sets in one data set, each to be counted by itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mms_ocr.datasets.sources import BrokenImageError, ImageSource
from mms_ocr.datasets.word_images import WordImageDataset
from mms_ocr.registry import DATASETS
from mms_ocr.utils.decoding import decode_image

# Where the words of a set called NAME may lie below the root: an LMDB (a folder with data.mdb in
# it) or JSON lines; else JSON lines within a folder of its name, as sets are released.
_SUFFIXES = (".lmdb", ".jsonl")
_WITHIN = ("annotation.jsonl", "labels.jsonl", "test.jsonl")
_TRIED = 10  # images of a set of which one has to be readable


@dataclass(frozen=True)
class BenchmarkSet:
    """One test set of a benchmark.

    Attributes:
        name: What it is called in options and results.
        title: What it is called in the table.
        path: Where it is.
        start: Index of its first image in the data set.
        stop: Index after its last.
        expected: How many images papers count in it; None where nothing is known.
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
    """Labelled test sets, one after the other; ``metainfo['benchmark']`` tells which is where.

    Args:
        sets: For each set, by name: its ``path`` below ``root``, and if wanted ``title``,
            ``images`` (how many papers count), ``in_average`` and ``origin`` (how to get it). A
            path may leave out what the set is stored as, see :func:`find_labelled_set`.
        pipeline: Transforms or their configs; ``sample_idx`` has to be kept in the metainfo.
        root: Folder that relative paths start from.
        chosen: Names of the sets that are wanted; by default all of them.
        max_broken: Share of a set's images from which on its figures are refused. Up to it, those
            that cannot be read are left out, and counted.
        **kwargs: Further arguments of :class:`WordImageDataset`, which reads labels always.

    Raises:
        FileNotFoundError: A set is missing; all of those that are missing are named.
        ValueError: There are no sets, one that is chosen is unknown, or one cannot be read; or
            ``indices`` do not ascend.
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
        wanted = _wanted(sets, chosen)
        paths = _find_all(sets, wanted, root)
        # Judged set by set, by the metric: a small set may be broken and go unnoticed in the whole.
        super().__init__(list(paths.values()), pipeline, labelled=True, max_broken=1.0, **kwargs)
        self.sets = self._lay_out(sets, paths)
        for one, source in zip(self.sets, self.sources):
            _try_reading(one, source)
        self._metainfo["benchmark"] = dict(
            sets=[asdict(one) for one in self.sets], max_broken=max_broken
        )

    def _lay_out(
        self, sets: Mapping[str, Mapping[str, Any]], paths: Mapping[str, str]
    ) -> list[BenchmarkSet]:
        places = np.arange(self._starts[-1]) if self._chosen is None else self._chosen
        if (np.diff(places) <= 0).any():
            raise ValueError(
                "indices of a benchmark have to ascend, as its sets stand one after the other, and "
                "none may be there twice"
            )
        ends = np.searchsorted(places, self._starts)
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
    """The file or folder in which the words of a set lie.

    Args:
        path: An LMDB or annotation file; or the same without ``.lmdb`` or ``.jsonl``; or, where
            none of these is there, a folder with ``annotation.jsonl``, ``labels.jsonl`` or
            ``test.jsonl`` in it.

    Raises:
        FileNotFoundError: There is none.
        ValueError: There are several, so that it is not clear which is meant.
    """
    found = [path + suffix for suffix in _SUFFIXES if os.path.exists(path + suffix)]
    if os.path.isfile(path) or os.path.isfile(os.path.join(path, "data.mdb")):
        found.insert(0, path)
    if not found:
        inside = [os.path.join(path, name) for name in _WITHIN]
        found += [name for name in inside if os.path.isfile(name)]
    if not found:
        raise FileNotFoundError(
            f"no test set at {path!r} (an LMDB or JSON lines: {path}[.lmdb|.jsonl], or "
            f"{'|'.join(_WITHIN)} in that folder)"
        )
    if len(found) > 1:
        raise ValueError(f"which is the test set: {' or '.join(found)}? Name one of them by path")
    return found[0]


def _wanted(sets: Mapping[str, Mapping[str, Any]], chosen: Sequence[str] | None) -> list[str]:
    if not sets:
        raise ValueError("a benchmark needs at least one test set")
    unknown = [name for name in chosen or () if name not in sets]
    if unknown:
        raise ValueError(f"no test set {', '.join(unknown)} here: there are {', '.join(sets)}")
    # In the order of the benchmark, whatever the order of the choice.
    return [name for name in sets if chosen is None or name in chosen]


def _find_all(
    sets: Mapping[str, Mapping[str, Any]], wanted: Sequence[str], root: str
) -> dict[str, str]:
    paths, missing = {}, []
    for name in wanted:
        path = os.path.join(root, sets[name]["path"])
        try:
            paths[name] = find_labelled_set(path)
        except FileNotFoundError:
            missing.append(name)
    if missing:
        lines = []
        for name in missing:
            expected = os.path.join(root, sets[name]["path"])
            notes = [sets[name].get("origin"), os.path.isdir(expected) and "a folder, no labels"]
            told = ", ".join(note for note in notes if note)
            lines.append(f"{name} at {expected}" + (f" ({told})" if told else ""))
        there = (
            f"found: {', '.join(paths)}; --sets NAME … takes these alone"
            if paths
            else ("none was found")
        )
        raise FileNotFoundError(
            f"{len(missing)} of {len(wanted)} test sets are missing: {'; '.join(lines)}. Each is "
            "an LMDB or JSON lines: that path with .lmdb or .jsonl, a folder with data.mdb, or a "
            f"folder with {' or '.join(_WITHIN)}. {there[0].upper()}{there[1:]}. "
            "docs/reading.md tells how to get them"
        )
    return paths


def _try_reading(one: BenchmarkSet, source: ImageSource) -> None:
    """Refuse a set of which not one of the first images can be read.

    Raises:
        ValueError: None can.
    """
    count = min(_TRIED, len(source))
    for index in range(count):
        try:
            decode_image(source.read(index, labelled=True).data)
        except BrokenImageError as error:
            last = error
        else:
            return
    raise ValueError(
        f"test set {one.name}: none of the first {count} words of {one.path} can be read; {last}. "
        "Where file names are relative to another folder, convert the set first (docs/reading.md)"
    )
