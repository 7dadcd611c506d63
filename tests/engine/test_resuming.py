"""Finding and reading checkpoints to resume from."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint

from mms_ocr.engine.resuming import (
    check_parts,
    find_resume_point,
    load_from_url,
    newest_whole_checkpoint,
    use_checked_reading,
)
from mms_ocr.models.weights import read_checkpoint
from mms_ocr.utils.sealing import DamagedCheckpointError, seal

PARTS = dict(meta={"iter": 5, "epoch": 0}, optimizer={}, message_hub={})


def save(path, sealed=True, **parts):
    torch.save({"state_dict": {"weight": torch.ones(300)}, **PARTS, **parts}, path)
    if sealed:
        seal(path)
    return str(path)


class Attack:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def test_the_newest_is_the_one_saved_last(tmp_path):
    expected = [save(tmp_path / name) for name in ("iter_9.pth", "iter_10.pth", "iter_2.pth")]
    # Copied in another order.
    copies = tmp_path / "copies"
    copies.mkdir()
    for path in reversed(expected):
        shutil.copy(path, copies)
    assert newest_whole_checkpoint(copies) == (str(copies / "iter_2.pth"), [])


def test_what_is_passed_over_is_named(tmp_path, next_tick):
    whole = save(tmp_path / "iter_1.pth")
    next_tick()  # without their seals, the others are as old as the file system says
    torch.save({"state_dict": {}}, tmp_path / "best_acc_iter_2.pth")
    save(tmp_path / "published.pth")
    torn = save(tmp_path / "iter_2.pth")
    os.truncate(torn, os.path.getsize(torn) // 2)
    bare = tmp_path / "iter_3.pth"
    torch.save({"weight": torch.ones(3)}, bare)
    path, faults = newest_whole_checkpoint(tmp_path)
    assert path == whole
    assert [torn in faults[1], str(bare) in faults[0], len(faults)] == [True, True, 2]


def test_the_pointer_of_a_folder_that_was_moved(tmp_path):
    named = save(tmp_path / "my_5.pth")
    (tmp_path / "last_checkpoint").write_text("/somewhere/else/my_5.pth")
    assert newest_whole_checkpoint(tmp_path) == (named, [])
    (tmp_path / "last_checkpoint").write_bytes(b"/some\xff")
    assert newest_whole_checkpoint(tmp_path) == (None, [])
    assert newest_whole_checkpoint(tmp_path / "missing") == (None, [])


def runner(folder, **settings):
    return SimpleNamespace(_resume=True, _load_from=None, work_dir=str(folder), **settings)


def test_where_there_is_no_checkpoint_the_run_starts_from_scratch(tmp_path):
    job = runner(tmp_path)
    find_resume_point(job)
    assert (job._resume, job._load_from) == (False, None)


def test_where_none_is_whole_the_run_does_not_start(tmp_path):
    (tmp_path / "iter_1.pth").write_bytes(b"")
    with pytest.raises(DamagedCheckpointError, match=r"no checkpoint in .* is whole"):
        find_resume_point(runner(tmp_path))


def test_a_checkpoint_that_is_named_is_kept(tmp_path):
    save(tmp_path / "iter_1.pth")
    job = runner(tmp_path)
    find_resume_point(job)
    assert job._load_from == str(tmp_path / "iter_1.pth")
    job._load_from = "mine.pth"
    find_resume_point(job)
    assert job._load_from == "mine.pth"


@pytest.mark.parametrize(
    ("lost", "named"),
    [("optimizer", "no optimizer"), ("meta", "no meta"), ("message_hub", "no message_hub")],
)
def test_parts(lost, named):
    checkpoint = {"state_dict": {}, **PARTS}
    check_parts(checkpoint, "a.pth")
    with pytest.raises(ValueError, match=rf"a\.pth cannot be resumed from: it holds {named}"):
        check_parts({key: value for key, value in checkpoint.items() if key != lost}, "a.pth")
    with pytest.raises(ValueError, match="number of its iteration"):
        check_parts({**checkpoint, "meta": {}}, "a.pth")


def test_a_config_in_a_checkpoint_is_not_run(tmp_path):
    """MMEngine's Runner hands ``meta["config"]`` to Config.fromstring, which runs it."""
    schemes, by_url = dict(CheckpointLoader._schemes), mmengine_checkpoint.load_url
    meta = {"iter": 5, "epoch": 0, "config": "import os; os.mkdir('attacked')", "seed": 1}
    path = save(tmp_path / "iter_1.pth", meta=meta)
    try:
        use_checked_reading()
        for read in (
            CheckpointLoader.load_checkpoint(path),
            load_from_url(Path(path).as_uri(), model_dir=str(tmp_path / "cache")),
        ):
            assert read["meta"] == {"iter": 5, "epoch": 0, "seed": 1}
        for path in ("s3://bucket/iter_1.pth", "cluster:s3://iter_1.pth", "pavi://iter_1.pth"):
            with pytest.raises(ValueError, match=f"^{path} is not read: .*; copy it"):
                CheckpointLoader.load_checkpoint(path)
    finally:
        CheckpointLoader._schemes = schemes
        mmengine_checkpoint.load_url = by_url


@pytest.mark.parametrize("sealed", [True, False])
def test_mmengine_runs_nothing_that_a_file_carries(tmp_path, monkeypatch, sealed):
    marker = tmp_path / "attacked"
    path = save(tmp_path / "iter_1.pth", sealed, attack=Attack(str(marker)))
    schemes, by_url = dict(CheckpointLoader._schemes), mmengine_checkpoint.load_url
    try:
        use_checked_reading()
        with pytest.raises(ValueError, match="was refused: it carries the object"):
            CheckpointLoader.load_checkpoint(path)
        whole = save(tmp_path / "iter_2.pth")
        read = CheckpointLoader.load_checkpoint(whole, map_location="meta")
        assert read["state_dict"]["weight"].device.type == "cpu"
        with pytest.raises(FileNotFoundError, match="no checkpoint"):
            CheckpointLoader.load_checkpoint(str(tmp_path / "none.pth"))
    finally:
        CheckpointLoader._schemes = schemes
        mmengine_checkpoint.load_url = by_url
    with pytest.raises(ValueError, match="was refused"):
        read_checkpoint(path)
    assert not marker.exists()
