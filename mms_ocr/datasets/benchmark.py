"""Several labelled test sets in one data set, each with results of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
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


@DATASETS.register_module()
class BenchmarkDataset(WordImageDataset):
    """Labelled test sets, one after the other.

    ``metainfo['benchmark']`` has ``max_broken`` and, for every set, its name, title and path, its
    images from ``start`` to ``stop``, their ``expected`` number and ``in_average``.

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
        for name, source in zip(paths, self.sources):
            _check_readable(name, source)
        positions = np.arange(self._starts[-1]) if self._chosen is None else self._chosen
        if (np.diff(positions) <= 0).any():
            raise ValueError("indices of a benchmark have to ascend, without repetition")
        ends = np.searchsorted(positions, self._starts).tolist()
        located = [
            dict(
                name=name,
                title=sets[name].get("title", name),
                path=path,
                start=start,
                stop=stop,
                expected=sets[name].get("images"),
                in_average=sets[name].get("in_average", True),
            )
            for (name, path), start, stop in zip(paths.items(), ends[:-1], ends[1:])
        ]
        self.metainfo["benchmark"] = dict(sets=located, max_broken=max_broken)


def find_labelled_set(path: str) -> str:
    """Find the file or folder of a labelled set.

    That is an LMDB or annotation file at ``path``, or with ``.lmdb`` or ``.jsonl`` added; or, if
    there is none, ``annotation.jsonl``, ``labels.jsonl`` or ``test.jsonl`` in that folder.

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
        raise FileNotFoundError(f"no test set at {path!r}")
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
        raise FileNotFoundError(
            f"{len(missing)} of {len(names)} test sets are missing: {'; '.join(missing)}. Each is "
            "an LMDB or JSON lines: that path with .lmdb or .jsonl, a folder with data.mdb, or a "
            f"folder with {' or '.join(_FILES_IN_FOLDER)}. Present: {', '.join(paths) or 'none'}; "
            "--sets NAME … tests on some alone. docs/reading.md explains how to get them"
        )
    return paths


def _check_readable(name: str, source: ImageSource) -> None:
    faults = []
    for index in range(min(_CHECKED_WORDS, len(source))):
        try:
            decode_image(source.read(index, labelled=True).data)
            return
        except BrokenImageError as error:
            faults.append(str(error))
    raise ValueError(
        f"test set {name}: none of the first {len(faults)} words of {source.path} can be read: "
        f"{faults[0]}; if its file names are relative to another folder, convert it first "
        "(docs/reading.md)"
    )
