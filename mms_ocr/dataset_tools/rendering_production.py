"""Rendering many words into a store, by several processes, from where it stopped."""

from __future__ import annotations

import contextlib
import hashlib
import math
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL

from mms_ocr import __version__
from mms_ocr.dataset_tools.rendering_folder_store import FolderStore
from mms_ocr.dataset_tools.rendering_lmdb_store import LmdbStore
from mms_ocr.dataset_tools.rendering_stores import EncodedWord, WordStore
from mms_ocr.rendering.renderer import RenderedWord, WordRenderer

_CHUNK = 64  # words rendered by a process at a time and written together
# What a worker process renders with; set once when it starts.
_renderers: list[WordRenderer] = []
_encoding: dict[str, Any] = {}


def open_store(path: str | os.PathLike[str], recipe: dict[str, Any]) -> WordStore:
    """An LMDB where the name ends in ``.lmdb``, else a folder."""
    kind = LmdbStore if Path(path).suffix.lower() == ".lmdb" else FolderStore
    return kind(path, recipe)


def recipe_of(renderer: WordRenderer, **options: Any) -> dict[str, Any]:
    """All that a renderer's words depend on, and the options of writing, as plain JSON data."""
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
) -> EncodedWord:
    """Compress a word's pictures.

    Args:
        word: the word.
        extras: what to store beside image and text, of ``'clean'``, ``'mask'``, ``'char_boxes'``.
        suffix: ``'.jpg'`` or ``'.png'``, for image and clean version; masks are PNG with 0 and 255.
        quality: of JPEG, 1 to 100.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == ".jpg" else []
    images, suffixes = {"image": _encode(word.image, suffix, options)}, {"image": suffix}
    if "clean" in extras:
        images["clean"], suffixes["clean"] = _encode(word.clean, suffix, options), suffix
    if "mask" in extras:
        images["mask"], suffixes["mask"] = _encode(word.mask * np.uint8(255), ".png", []), ".png"
    boxes = word.char_boxes.astype(float).round(2).tolist() if "char_boxes" in extras else None
    return EncodedWord(word.text, images, suffixes, boxes)


def _encode(image: np.ndarray, suffix: str, options: list[int]) -> bytes:
    written, buffer = cv2.imencode(suffix, image, options)
    if not written:
        raise ValueError(f"a picture of {image.shape} cannot be encoded as {suffix}")
    return buffer.tobytes()


def produce(
    renderer: WordRenderer,
    store: WordStore,
    count: int,
    workers: int = 1,
    progress: Callable[[int], None] = lambda number: None,
    **encoding: Any,
) -> None:
    """Render the words 0 to ``count`` - 1 that the store lacks, write them in order, and finish it.

    Args:
        renderer: renders them.
        store: an entered store.
        count: how many words the finished store holds.
        workers: processes that render; this one writes.
        progress: called with the number of words written, first with what was there already.
        encoding: see :func:`encode_word`.

    Raises:
        ValueError: if the store holds more words than ``count`` already.
    """
    if store.done > count:
        raise ValueError(
            f"{store.part} holds {store.done} words already; ask for at least so many, or remove it"
        )
    progress(store.done)
    with _rendered(renderer, range(store.done, count), workers, encoding) as batches:
        for batch in batches:
            store.append(batch)
            progress(store.done)
    store.finish(count)


@contextlib.contextmanager
def _rendered(
    renderer: WordRenderer, indices: range, workers: int, encoding: dict[str, Any]
) -> Iterator[Iterator[list[EncodedWord]]]:
    """Gives the words of the indices in order, in chunks."""
    chunks = (indices[start : start + _CHUNK] for start in range(0, len(indices), _CHUNK))
    workers = min(workers, math.ceil(len(indices) / _CHUNK))
    if workers <= 1:
        _begin(renderer, encoding)
        yield map(_render_chunk, chunks)
        return
    # Spawned, not forked: the same on every system, and safe whatever threads this process has.
    executor = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _begin_worker, (renderer, encoding)
    )
    try:
        yield _in_order(executor, chunks, ahead=4 * workers)
    finally:
        executor.shutdown(cancel_futures=True)


def _in_order(
    executor: ProcessPoolExecutor, chunks: Iterable[range], ahead: int
) -> Iterator[list[EncodedWord]]:
    waiting: deque[Future[list[EncodedWord]]] = deque()
    for chunk in chunks:
        waiting.append(executor.submit(_render_chunk, chunk))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _begin(renderer: WordRenderer, encoding: dict[str, Any]) -> None:
    _renderers[:] = [renderer]
    _encoding.clear()
    _encoding.update(encoding)


def _begin_worker(renderer: WordRenderer, encoding: dict[str, Any]) -> None:
    # Ctrl-C reaches all processes; the one that writes ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _begin(renderer, encoding)


def _leave_with_parent() -> None:
    """Ends this worker when the process that started it is gone, killed for example."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _render_chunk(indices: range) -> list[EncodedWord]:
    return [encode_word(_renderers[0].render(index), **_encoding) for index in indices]


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return min(os.cpu_count() or 1, 61)  # Windows cannot wait for more processes
