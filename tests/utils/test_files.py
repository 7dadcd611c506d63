"""Files are there whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from mms_ocr.utils.files import atomic_path, atomic_write, replace, write_image


def test_a_block_that_raises_leaves_the_old_file(tmp_path):
    path = tmp_path / "weights.pth"
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"first")
        assert not path.exists()
    assert path.read_bytes() == b"first"
    with pytest.raises(FileNotFoundError), atomic_path(path) as temporary:
        temporary.write_bytes((tmp_path / "nowhere").read_bytes())
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["weights.pth"]


def test_a_folder_is_renamed(tmp_path):
    (tmp_path / "a").mkdir()
    replace(tmp_path / "a", tmp_path / "b")
    assert os.listdir(tmp_path) == ["b"]


def test_a_file_is_replaced_only_by_a_whole_one(tmp_path, monkeypatch):
    path = tmp_path / "list.jsonl"
    atomic_write(path, b"first")
    atomic_write(path, b"second")
    assert path.read_bytes() == b"second"

    def full(self: Path, data: bytes) -> None:
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"list\.jsonl: cannot be written \(No space left on device"):
        atomic_write(path, b"third")
    assert path.read_bytes() == b"second"
    assert [file.name for file in tmp_path.iterdir()] == ["list.jsonl"]


def test_a_file_may_have_the_longest_name_and_any_bytes(tmp_path):
    for name in (b"a" * 255, b"caf\xe9.txt", "é".encode() * 127):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        atomic_write(path, b"data")
        assert path.read_bytes() == b"data"
    assert len(list(tmp_path.iterdir())) == 3


def test_links_are_followed_and_devices_are_kept(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    atomic_write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"
    os.mkfifo(tmp_path / "pipe")
    end = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    atomic_write(tmp_path / "pipe", b"data")
    assert os.read(end, 9) == b"data"
    os.close(end)
    atomic_write("/dev/null", b"data")
    assert Path("/dev/null").is_char_device()


def test_images_are_written_by_bytes(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 4), np.uint8)
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    for pixels in (image, image[:, :, :3], image[:, :, 0]):
        write_image(path, pixels)
        encoded = np.frombuffer(path.read_bytes(), np.uint8)
        np.testing.assert_array_equal(cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED), pixels)
    with pytest.raises(ValueError, match="is the input image"):
        write_image(path, image, source=f"{tmp_path}/../{tmp_path.name}/{path.name}")
    assert path.read_bytes() == encoded.tobytes()
    for name in ("a.txt", "a", "a.pdf"):
        with pytest.raises(ValueError, match="cannot be written as an image of suffix"):
            write_image(tmp_path / name, image)
    with pytest.raises(OSError, match=r"a\.png: cannot be written"):
        write_image(tmp_path / "nowhere" / "a.png", image)
