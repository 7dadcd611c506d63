from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from made_images import lmdb_entries, write_folder, write_jsonl, write_lmdb


@pytest.fixture
def make_source(tmp_path: Path) -> Callable[..., Path]:
    """Writes a source of a kind: ``make_source('lmdb', images, labels, name='a')``."""

    def make(
        kind: str, images: list[bytes], labels: list[str] | None = None, name: str = "words"
    ) -> Path:
        if kind == "lmdb":
            return write_lmdb(tmp_path / f"{name}.lmdb", lmdb_entries(images, labels))
        if kind == "jsonl":
            return write_jsonl(tmp_path / name / "words.jsonl", images, labels)
        return write_folder(tmp_path / name, images)

    return make
