"""Finding and reading checkpoints to resume from."""

import os
import random
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint

from mms_ocr.engine.resuming import (
    check_parts,
    find_resume_point,
    newest_whole_checkpoint,
    use_checked_reading,
)
from mms_ocr.models.weights import read_checkpoint
from mms_ocr.models.weights.files import DamagedCheckpointError

PARTS = dict(meta={"iter": 5, "epoch": 0}, optimizer={}, message_hub={})


def save(path, **parts):
    torch.save({"state_dict": {"weight": torch.ones(300)}, **PARTS, **parts}, path)
    return str(path)


class Attack:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def test_newest_checkpoint_is_the_last_saved(tmp_path):
    paths = [save(tmp_path / name) for name in ("iter_9.pth", "iter_10.pth", "iter_2.pth")]
    for seconds, path in enumerate(paths):
        os.utime(path, (seconds, seconds))
    assert newest_whole_checkpoint(tmp_path) == (paths[2], [])
    for path in paths:
        os.utime(path, (0, 0))
    assert newest_whole_checkpoint(tmp_path) == (paths[1], [])
    # Copied in another order, the file last_checkpoint still names the last one.
    (tmp_path / "last_checkpoint").write_text(paths[0])
    assert newest_whole_checkpoint(tmp_path) == (paths[0], [])
    Path(paths[0]).write_bytes(b"")
    path, faults = newest_whole_checkpoint(tmp_path)
    assert path == paths[1]
    assert [paths[0] in fault for fault in faults] == [True]


def test_skipped_checkpoints_are_named(tmp_path, next_tick):
    whole = save(tmp_path / "iter_1.pth")
    next_tick()
    torch.save({"state_dict": {}}, tmp_path / "best_acc_iter_2.pth")
    save(tmp_path / "published.pth")
    torn = save(tmp_path / "iter_2.pth")
    next_tick()
    os.truncate(torn, os.path.getsize(torn) // 2)
    next_tick()
    bare = tmp_path / "iter_3.pth"
    torch.save({"weight": torch.ones(3)}, bare)
    path, faults = newest_whole_checkpoint(tmp_path)
    assert path == whole
    assert [torn in faults[1], str(bare) in faults[0], len(faults)] == [True, True, 2]


def test_last_checkpoint_of_a_moved_folder(tmp_path):
    named = save(tmp_path / "my_5.pth")
    (tmp_path / "last_checkpoint").write_text("/somewhere/else/my_5.pth")
    assert newest_whole_checkpoint(tmp_path) == (named, [])
    (tmp_path / "last_checkpoint").write_bytes(b"/some\xff")
    assert newest_whole_checkpoint(tmp_path) == (None, [])
    assert newest_whole_checkpoint(tmp_path / "missing") == (None, [])


def runner(folder, **settings):
    return SimpleNamespace(_resume=True, _load_from=None, work_dir=str(folder), **settings)


def test_starting_checkpoint_of_a_run(tmp_path):
    job = runner(tmp_path)
    find_resume_point(job)
    assert (job._resume, job._load_from) == (False, None)  # there is none: from scratch
    save(tmp_path / "iter_1.pth")
    job = runner(tmp_path)
    find_resume_point(job)
    assert job._load_from == str(tmp_path / "iter_1.pth")
    job._load_from = "mine.pth"
    find_resume_point(job)
    assert job._load_from == "mine.pth"
    (tmp_path / "iter_1.pth").write_bytes(b"")
    with pytest.raises(DamagedCheckpointError, match=r"iter_1\.pth"):
        find_resume_point(runner(tmp_path))


@pytest.mark.parametrize(
    ("lost", "named"),
    [("optimizer", "no optimizer"), ("meta", "no meta"), ("message_hub", "no message_hub")],
)
def test_missing_parts_raise(lost, named):
    checkpoint = {"state_dict": {}, **PARTS}
    check_parts(checkpoint, "a.pth")
    with pytest.raises(ValueError, match=rf"a\.pth cannot be resumed from: it has {named}"):
        check_parts({key: value for key, value in checkpoint.items() if key != lost}, "a.pth")
    with pytest.raises(ValueError, match="iteration number"):
        check_parts({**checkpoint, "meta": {}}, "a.pth")


@pytest.fixture
def checked_reading(monkeypatch):
    monkeypatch.setattr(CheckpointLoader, "_schemes", dict(CheckpointLoader._schemes))
    monkeypatch.setattr(mmengine_checkpoint, "load_url", mmengine_checkpoint.load_url)
    use_checked_reading()


def test_config_in_a_checkpoint_is_not_run(tmp_path, checked_reading):
    """MMEngine's Runner hands ``meta["config"]`` to Config.fromstring, which runs it."""
    meta = {"iter": 5, "epoch": 0, "config": "import os; os.mkdir('attacked')", "seed": 1}
    path = save(tmp_path / "iter_1.pth", meta=meta)
    for read in (
        CheckpointLoader.load_checkpoint(path),
        mmengine_checkpoint.load_url(Path(path).as_uri(), model_dir=str(tmp_path / "cache")),
    ):
        assert read["meta"] == {"iter": 5, "epoch": 0, "seed": 1}
    for path in ("s3://bucket/iter_1.pth", "cluster:s3://iter_1.pth", "pavi://iter_1.pth"):
        with pytest.raises(ValueError, match=f"^{path} cannot be read"):
            CheckpointLoader.load_checkpoint(path)


def test_mmengine_runs_no_code_of_checkpoints(tmp_path, checked_reading):
    marker = tmp_path / "attacked"
    path = save(tmp_path / "iter_1.pth", attack=Attack(str(marker)))
    with pytest.raises(ValueError, match="was refused: it carries the object"):
        CheckpointLoader.load_checkpoint(path)
    assert not marker.exists()
    whole = save(tmp_path / "iter_2.pth")
    read = CheckpointLoader.load_checkpoint(whole, map_location="meta")
    assert read["state_dict"]["weight"].device.type == "cpu"
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        CheckpointLoader.load_checkpoint(str(tmp_path / "none.pth"))


def content(path):
    read = read_checkpoint(path)
    return {
        **read,
        "state_dict": {key: value.tolist() for key, value in read["state_dict"].items()},
    }


def test_every_changed_byte_is_reported_or_changes_nothing(tmp_path):
    path = Path(save(tmp_path / "iter_1.pth"))
    good, expected = path.read_bytes(), content(path)
    rng = random.Random(0)
    reported = unchanged = 0
    for place in [*rng.sample(range(len(good)), 200), *range(len(good) - 150, len(good))]:
        changed = bytearray(good)
        changed[place] ^= rng.randrange(1, 256)
        path.write_bytes(bytes(changed))
        try:
            read = content(path)
        except ValueError as error:
            reported += str(path) in str(error)
            continue
        assert read == expected, place
        unchanged += 1
    assert reported + unchanged == 350
    assert reported > 100


@pytest.mark.parametrize("length", [0, 1, 2, 50, 0.5, -23, -2, -1])
def test_every_cut_is_reported(tmp_path, length):
    path = save(tmp_path / "iter_1.pth")
    size = os.path.getsize(path)
    os.truncate(path, int(size * length) if length == 0.5 else length % size if length else 0)
    with pytest.raises(ValueError, match=r"iter_1\.pth"):
        read_checkpoint(path)


def test_a_changed_tensor_and_bytes_at_the_end_are_damage(tmp_path):
    path = Path(save(tmp_path / "iter_1.pth"))
    good = path.read_bytes()
    place = good.index(torch.ones(300).numpy().tobytes()) + 600
    for damaged in (good[:place] + b"\x01" + good[place + 1 :], good + b"\0"):
        path.write_bytes(damaged)
        with pytest.raises(DamagedCheckpointError, match=r"iter_1\.pth"):
            read_checkpoint(path)
