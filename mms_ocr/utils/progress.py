"""Progress of work on many images."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sized

from tqdm import tqdm

#: Wraps an iterable of indices, given a title and the number of indices in all.
Progress = Callable[[Iterable[int], str, int], Iterable[int]]


def silent(indices: Iterable[int], title: str, total: int) -> Iterable[int]:
    """Show nothing."""
    return indices


def progress_bar(indices: Iterable[int], title: str, total: int) -> Iterable[int]:
    """Show a progress bar on standard error, or, without a terminal, a line every half minute."""
    initial = total - len(indices) if isinstance(indices, Sized) else 0
    return tqdm(
        indices,
        desc=title,
        total=total,
        initial=initial,
        unit=" images",
        mininterval=0.1 if sys.stderr.isatty() else 30,
        dynamic_ncols=True,
    )
