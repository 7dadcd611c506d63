"""Rendered words as image files in a folder, with labels as JSON lines."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from mms_ocr.dataset_tools.rendering_stores import EncodedWord, WordStore

_IMAGES_PER_FOLDER = 1000


class FolderStore(WordStore):
    """Image files, and ``labels.jsonl`` with ``{"filename": …, "text": …}`` for each of them.

    Clean versions and masks lie beside the images under ``clean/`` and ``mask/``, and are named by
    the fields of that name; ``char_boxes`` holds the character boxes.
    """

    def _open(self) -> None:
        self._labels = (self.part / "labels.jsonl").open("ab+")
        self._labels.seek(0)
        self._done = whole = 0
        for line in self._labels:
            if line.endswith(b"\n"):
                self._done += 1
                whole += len(line)
        self._labels.truncate(whole)  # a last line without end was cut off in the middle
        self._labels.seek(whole)

    @property
    def done(self) -> int:
        """How many words are safely written."""
        return self._done

    def append(self, words: Sequence[EncodedWord]) -> None:
        """Write the image files, and only then the lines that name them."""
        lines = bytearray()
        for number, word in enumerate(words, self._done + 1):
            record: dict[str, Any] = {}
            for kind, data in word.images.items():
                place = f"{(number - 1) // _IMAGES_PER_FOLDER:06d}"
                name = f"{kind}/{place}/{number:09d}{word.suffixes[kind]}"
                file = self.part / name
                if (number - 1) % _IMAGES_PER_FOLDER == 0 or not file.parent.is_dir():
                    file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
                record["filename" if kind == "image" else kind] = name
            record["text"] = word.text
            if word.char_boxes is not None:
                record["char_boxes"] = word.char_boxes
            lines += json.dumps(record, ensure_ascii=False).encode() + b"\n"
        self._labels.write(lines)
        self._labels.flush()
        self._done += len(words)

    def _seal(self, count: int) -> None:
        os.fsync(self._labels.fileno())

    def _close(self) -> None:
        self._labels.close()
