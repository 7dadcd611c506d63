"""How keys are named in errors."""

from __future__ import annotations

from collections.abc import Sequence

MAX_LISTED = 6


def listed(keys: Sequence[str]) -> str:
    """The first keys, and how many more there are."""
    more = f" and {len(keys) - MAX_LISTED} more" if len(keys) > MAX_LISTED else ""
    return ", ".join(keys[:MAX_LISTED]) + more
