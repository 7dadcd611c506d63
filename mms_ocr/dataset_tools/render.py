"""Rendering of many words: into a set, by several processes, or as a picture."""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from mms_ocr import __version__
from mms_ocr.dataset_tools.layouts import open_writer
from mms_ocr.dataset_tools.records import Record
from mms_ocr.dataset_tools.writer import compare_plans, read_plan
from mms_ocr.rendering.renderer import RenderedWord, WordRenderer
from mms_ocr.utils.progress import Progress, silent
from mms_ocr.visualization import GAP, fit_picture, picture_grid

SHEET_SUFFIXES = (".png", ".jpg", ".jpeg")

_PLAN = "render.json"  # in the finished set
_BATCH = 64  # words that a process renders at a time
_MAX_ROWS = 1000  # of a sheet


def render_plan(renderer: WordRenderer, **options: Any) -> dict[str, Any]:
    """Return all that a renderer's words depend on, and further options, as plain JSON data."""
    source = renderer.source
    faces = [
        f"{share} {face.family} {face.path.name} {face.path.stat().st_size}"
        for face, share in zip(renderer.fonts.faces, renderer.fonts.shares)
    ]
    images = renderer.images
    return {
        "versions": {"mms_ocr": __version__, "opencv": cv2.__version__, "pillow": PIL.__version__},
        "seed": renderer.seed,
        "settings": asdict(renderer.settings),
        "fonts": f"{len(faces)} fonts, {_digest(faces)}",
        "words": f"{len(source.words)} words, {_digest(source.words)}",
        "texts": {
            "random_string_share": source.random_string_share,
            "case": source.case,
            "words_per_line": [source.fewest, source.most],
            "max_length": source.max_length,
            "punctuation": source.punctuation,
        },
        "backgrounds": f"{len(images.files)} images, {_digest(images.files)}" if images else None,
        **options,
    }


def _digest(items: Sequence[Any]) -> str:
    digest = hashlib.sha256("\n".join(map(str, items)).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def encode_word(
    word: RenderedWord, extras: Sequence[str] = (), suffix: str = ".jpg", quality: int = 95
) -> Record:
    """Compress the images of a word, as JPEG of ``quality`` 1 to 100 or, by ``suffix``, as PNG.

    ``extras`` are also stored: ``'clean'``, ``'mask'`` (PNG with 0 and 255), ``'char_boxes'``.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == ".jpg" else []
    images = {"image": cv2.imencode(suffix, word.image, options)[1].tobytes()}
    if "clean" in extras:
        images["clean"] = cv2.imencode(suffix, word.clean, options)[1].tobytes()
    if "mask" in extras:
        images["mask"] = cv2.imencode(".png", word.mask * np.uint8(255))[1].tobytes()
    boxes = word.char_boxes.astype(float).round(2).tolist() if "char_boxes" in extras else None
    return Record(images, word.text, boxes)


def count_finished(path: str | os.PathLike[str], plan: Mapping[str, Any]) -> int | None:
    """Return the number of words of a finished set; None if ``path`` does not exist.

    Raises:
        FileExistsError: ``path`` is something else.
        ValueError: It was rendered with another plan.
    """
    if not os.path.lexists(path):
        return None
    file = Path(path, _PLAN)
    if not file.is_file():
        raise FileExistsError(f"{path} exists; remove it or choose another name")
    begun = read_plan(file)
    count = begun.pop("count", None)
    compare_plans(begun, json.loads(json.dumps(plan)), Path(path))
    return count


def render_words(
    renderer: WordRenderer,
    path: str | os.PathLike[str],
    count: int,
    workers: int = 1,
    progress: Progress = silent,
    **encoding: Any,
) -> int:
    """Render words 0 to ``count`` - 1 into a new set, and return how many were not there already.

    A stopped run is resumed. ``workers`` processes render, and this one writes. For ``path`` see
    :func:`mms_ocr.dataset_tools.layouts.open_writer`, for ``encoding`` :func:`encode_word`.

    Raises:
        ValueError: The unfinished set has more words than ``count``, or other options.
    """
    plan = render_plan(renderer, encoding=encoding)
    with open_writer(path, plan) as writer:
        if writer.written > count:
            raise ValueError(
                f"{writer.part} holds {writer.written} words already; ask for at least that many, "
                "or remove it"
            )
        indices = range(writer.written, count)
        workers = min(workers, math.ceil(len(indices) / _BATCH))
        loader = DataLoader(
            _EncodedWords(renderer, encoding),
            _BATCH,
            sampler=indices,
            collate_fn=list,
            num_workers=workers if workers > 1 else 0,
            # Not forked, which is safe whatever threads this process has.
            multiprocessing_context="spawn" if workers > 1 else None,
            worker_init_fn=_start_worker,
        )
        words = (word for batch in loader for word in batch)
        writer.write(words, count, "rendering", progress)
        writer.complete({_PLAN: json.dumps({**plan, "count": count}, indent=1)})
        writer.finish()
    return len(indices)


def _start_worker(number: int) -> None:
    # Ctrl-C reaches all processes; the one that writes ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # If it is killed, no one reads what this one renders, and writing that would wait forever.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class _EncodedWords(Dataset):
    def __init__(self, renderer: WordRenderer, encoding: dict[str, Any]) -> None:
        self.renderer, self.encoding = renderer, encoding

    def __getitem__(self, index: int) -> Record:
        return encode_word(self.renderer.render(index), **self.encoding)


def word_sheet(images: Iterable[NDArray], width: int = 1200, height: int = 40) -> NDArray:
    """Draw words in at most 1000 rows of one width and height in pixels."""
    rows: list[list[NDArray]] = [[]]
    space = width
    for image in images:
        word = fit_picture(image, height, width)
        if rows[-1] and word.shape[1] > space:
            if len(rows) == _MAX_ROWS:
                break
            rows.append([])
            space = width
        rows[-1].append(word)
        space -= word.shape[1] + GAP
    return picture_grid(rows)


def parts_sheet(words: Sequence[RenderedWord], width: int = 1200, height: int = 48) -> NDArray:
    """Draw the image, the clean version with character boxes, and the mask; two words a row."""
    part_width = width // 6 - GAP
    pictures = []
    for word in words:
        boxed = word.clean.copy()
        for x, y, w, h in word.char_boxes.tolist():
            if w > 0:
                corner = (int(np.ceil(x + w)) - 1, int(np.ceil(y + h)) - 1)
                cv2.rectangle(boxed, (int(x), int(y)), corner, (0, 0, 255), 1)
        mask = cv2.cvtColor(word.mask * 255, cv2.COLOR_GRAY2BGR)
        parts = (word.image, boxed, mask)
        pictures += [fit_picture(part, height, part_width, part_width) for part in parts]
    return picture_grid([pictures[start : start + 6] for start in range(0, len(pictures), 6)])
