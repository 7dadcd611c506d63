"""Whole files, and checkpoints with their checksum."""

import random
import shutil
import time

import pytest
import torch

from mms_ocr.utils import sealing
from mms_ocr.utils.sealing import (
    DamagedCheckpointError,
    check_seal,
    put_in_place,
    saved_at,
    seal,
    write_whole,
)


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "iter_1.pth"
    torch.save({"state_dict": {"weight": torch.arange(1000.0)}}, path)
    return path


def test_a_seal_changes_nothing_for_readers(checkpoint):
    before = time.time_ns()
    seal(checkpoint)
    check_seal(checkpoint)
    for mmap in (False, True):
        read = torch.load(checkpoint, weights_only=True, mmap=mmap)
        assert torch.equal(read["state_dict"]["weight"], torch.arange(1000.0))
    assert before <= saved_at(checkpoint) <= time.time_ns()


def test_the_time_survives_copying(checkpoint, tmp_path):
    seal(checkpoint)
    copy = shutil.copyfile(checkpoint, tmp_path / "copy.pth")
    assert saved_at(copy) == saved_at(checkpoint)
    check_seal(copy)


def test_every_changed_byte_is_seen(checkpoint):
    seal(checkpoint)
    good = checkpoint.read_bytes()
    rng = random.Random(0)
    for place in [*rng.sample(range(len(good)), 100), *range(len(good) - 130, len(good))]:
        changed = bytearray(good)
        changed[place] ^= rng.randrange(1, 256)
        checkpoint.write_bytes(bytes(changed))
        with pytest.raises(DamagedCheckpointError, match=r"iter_1\.pth is damaged"):
            check_seal(checkpoint)


@pytest.mark.parametrize("sealed", [True, False])
def test_every_cut_is_seen(checkpoint, sealed):
    if sealed:
        seal(checkpoint)
    good = checkpoint.read_bytes()
    for length in [0, 1, 2, 50, len(good) // 2, len(good) - 23, len(good) - 2, len(good) - 1]:
        checkpoint.write_bytes(good[:length])
        if length == 1:  # nothing tells what kind of file it was
            continue
        with pytest.raises(DamagedCheckpointError):
            check_seal(checkpoint)
    checkpoint.write_bytes(good + b"\0")
    with pytest.raises(DamagedCheckpointError):
        check_seal(checkpoint)


def test_unsealed_files_are_held_to_the_checksums_of_zip(checkpoint):
    check_seal(checkpoint)
    changed = bytearray(checkpoint.read_bytes())
    changed[len(changed) // 2] ^= 1
    checkpoint.write_bytes(bytes(changed))
    with pytest.raises(DamagedCheckpointError, match="checksum"):
        check_seal(checkpoint)


def test_what_torch_did_not_finish_is_not_sealed(checkpoint):
    checkpoint.write_bytes(checkpoint.read_bytes()[:-5])
    with pytest.raises(DamagedCheckpointError, match="did not write all"):
        seal(checkpoint)


def test_a_folder_is_whole_or_not(tmp_path):
    folder = tmp_path / "iter_2.pth"
    folder.mkdir()
    for rank in range(2):
        torch.save({"rank": rank}, folder / f"rank{rank}.pth")
    with pytest.raises(DamagedCheckpointError, match="not all of its files"):
        check_seal(folder)
    seal(folder)
    check_seal(folder)
    assert saved_at(folder) == saved_at(folder / "rank0.pth")
    put_in_place(folder, tmp_path / "iter_3.pth")
    (tmp_path / "iter_3.pth" / "rank1.pth").unlink()
    with pytest.raises(DamagedCheckpointError, match=r"lacks rank1\.pth"):
        check_seal(tmp_path / "iter_3.pth")


def test_a_small_file_is_replaced_in_one_step(tmp_path, monkeypatch):
    path = tmp_path / "last_checkpoint"
    write_whole(path, "old")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sealing.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert [file.name for file in tmp_path.iterdir()] == ["last_checkpoint"]
    assert path.read_text() == "old"
