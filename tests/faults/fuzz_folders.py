"""Build folder trees at random; every image in them is read once, whatever else is there.

Hypothesis draws names (hidden, of several lines, no UTF-8, 255 bytes, those of layouts), folders,
links to files, to folders, to what holds them and to nowhere, and pipes. What is read has to be
what a slow and obvious way through the tree says, or an error where that says so; nothing may hang.

    python tests/faults/fuzz_folders.py --examples 1000
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

from fuzz_data import repeat
from hypothesis import strategies as st

import mms_ocr  # noqa: F401
from mms_ocr.datasets import open_source
from mms_ocr.utils.errors import BrokenImageError
from mms_ocr.utils.walking import IMAGE_SUFFIXES

_stems = st.sampled_from(
    [b"a", b"b", b"a b", b"a\nb", b"\xe9", "é".encode(), "e\u0301".encode(), b"x" * 250, b"-", b"*"]
)
_suffixes = st.sampled_from([b".jpg", b".JPG", b".png", b".img", b".heic", b".txt", b""])
_special = st.sampled_from(
    [
        *(b"._a.jpg", b".a.jpg", b".git", b"__MACOSX", b"image", b"mask", b"Masks", b"clean"),
        *(b"hr", b"lr", b"lr", b"labels.jsonl", b"a_mask.png", b"Thumbs.db", b"x.jpg"),
        b"first.png",
    ]
)
_name = st.one_of(st.builds(lambda stem, end: stem + end, _stems, _suffixes), _special)
_kind = st.sampled_from(["file"] * 4 + ["folder", "folder", "link", "link", "pipe"])
_entries = st.lists(
    st.tuples(_kind, st.integers(0, 7), _name, st.integers(0, 9)), min_size=1, max_size=14
)

_IMAGES, _LAYERS = {"image", "hr"}, {"mask", "masks", "clean", "lr"}


class RefusedError(Exception):
    """The tree is not a folder of images."""


def build(root: Path, entries: list[tuple[str, int, bytes, int]]) -> None:
    """Make the entries below a folder, the first of each name."""
    outside = root.parent / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "first.png").write_bytes(b"first")
    folders = [root, outside]
    targets = [root, root.parent, outside, outside / "first.png", root / "nowhere"]
    for number, (kind, place, name, target) in enumerate(entries):
        path = folders[place % len(folders)] / os.fsdecode(name)
        if os.path.lexists(path):
            continue
        if kind == "file" and name == b"labels.jsonl":
            path.write_text(json.dumps(dict(filename="first.png", text="one")))
        elif kind == "file":
            path.write_bytes(b"%d" % number)
        elif kind == "folder":
            path.mkdir()
            folders.append(path)
        elif kind == "link":
            path.symlink_to(targets[target % len(targets)])
        else:
            os.mkfifo(path)
        targets.append(path)


def expected_images(root: Path) -> list[str]:
    """Find the paths of the images in a slow and obvious way.

    Raises:
        RefusedError: There are none, or data sets and other images side by side.
    """
    if (root / "labels.jsonl").is_file():
        if not (root / "labels.jsonl").read_bytes().startswith(b"{"):
            raise RefusedError
        return [str(root / "first.png")]
    names = list(_visit(str(root), {str(path) for path in Path(os.path.realpath(root)).parents}))
    if not names or any(os.path.basename(name) == "labels.jsonl" for name in names):
        raise RefusedError
    return names


def _visit(folder: str, seen: set[str]):
    if os.path.realpath(folder) in seen:
        return
    seen.add(os.path.realpath(folder))
    names = [name for name in sorted(os.listdir(folder)) if name[0] != "." and name != "__MACOSX"]
    paths = [os.path.join(folder, name) for name in names]
    folders = [path for path in paths if os.path.isdir(path)]
    images = [path for path in paths if path not in folders and _is_image(path)]
    masks = [path for path in images if path.endswith("_mask.png")]
    masks = [
        path for path in masks if any(_stem(path) == f"{_stem(image)}_mask" for image in images)
    ]
    layers = [path for path in folders if _lower(path) in _LAYERS and _stems_in(path)]
    main = [path for path in folders if _lower(path) in _IMAGES and _stems_in(path)]
    if not main and len(layers) > 1:
        main = [path for path in layers if _lower(path) == "clean"]
    layers = [path for path in layers if path not in main]
    if main and layers:
        beside = [path for path in folders if path not in main + layers and _stems_in(path)]
        is_mixed = bool(images or beside or len(main) > 1)
        if is_mixed and any(
            _stems_in(folder) & _stems_in(other) for folder in main for other in layers
        ):
            raise RefusedError
        folders = folders if is_mixed else [path for path in folders if path not in layers]
    yield from (path for path in images if path not in masks or 4 * len(masks) < len(images))
    if "labels.jsonl" in names and os.path.isfile(os.path.join(folder, "labels.jsonl")):
        yield os.path.join(folder, "labels.jsonl")
    for path in folders:
        yield from _visit(path, seen)


def _is_image(path: str) -> bool:
    is_missing = os.path.islink(path) and not os.path.exists(path)
    return path.lower().endswith(IMAGE_SUFFIXES) and (is_missing or os.path.isfile(path))


def _stems_in(folder: str) -> set[str]:
    return {
        _stem(os.path.relpath(os.path.join(current, name), folder))
        for current, _, names in os.walk(folder)
        for name in names
        if name[0] != "." and name.lower().endswith(IMAGE_SUFFIXES)
    }


def _lower(path: str) -> str:
    return os.path.basename(path).lower()


def _stem(path: str) -> str:
    return os.path.splitext(path)[0]


def check(root: Path) -> str:
    """Read all of a tree; says how it ended."""
    try:
        expected = expected_images(root)
    except RefusedError:
        expected = None
    try:
        source = open_source(root)
    except ValueError as error:
        if "\n" in str(error):
            return "unclear"
        return "refused" if expected is None else "lost"
    if [source.name(index) for index in range(len(source))] != expected:
        return "wrong"
    for index, path in enumerate(expected):
        try:
            data = source.read(index).data
        except BrokenImageError:
            if os.path.isfile(path):
                return "lost"
        else:
            if data != Path(path).read_bytes():
                return "wrong"
    return "exact"


def run(examples: int) -> tuple[Counter, list]:
    """Build and read ``examples`` trees; return counts of outcomes, and faults."""

    def build_and_check(entries: list[tuple[str, int, bytes, int]]) -> str:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder, "words")
            build(root, entries)
            return check(root)

    return repeat(build_and_check, examples, _entries)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=1000)
    args = parser.parse_args()
    endings, faults = run(args.examples)
    for fault in faults[:3]:
        print(f"  {fault}", file=sys.stderr)
    count = sum(endings.values())
    right = f"{endings['exact']} read as they are, {endings['refused']} refused with one line"
    command = f"tests/faults/fuzz_folders.py --examples {args.examples}"
    print(f"| folder trees | {count} | {count - len(faults)} | {right} | `{command}` |")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
