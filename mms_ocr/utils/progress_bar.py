"""The progress bar of the commands that go through many images."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sized

from tqdm import tqdm


def progress_bar(indices: Iterable[int], title: str, total: int) -> Iterable[int]:
    """Show on stderr how many of ``total`` images are done and how long the others will take.

    Indices that do not start at 0 show the images before them as done. Where stderr is no
    terminal, a line every half minute.
    """
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
