"""The library of the studies: trainings that are not repeated, and what is read of them."""

import json
import sys

import pytest


@pytest.fixture
def runs(repository, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(repository / "projects" / "studies"))
    import runs

    monkeypatch.setattr(runs, "ROOT", tmp_path)
    yield runs
    sys.modules.pop("runs", None)


def test_a_program_that_fails_is_named_with_its_last_line(runs, tmp_path):
    (tmp_path / "fail.py").write_text("print('some')\nraise SystemExit('no such luck')")
    with pytest.raises(ValueError, match=r"fail\.py failed, see .*log\.txt: no such luck"):
        runs.call("fail.py", log=tmp_path / "log.txt")
    (tmp_path / "stop.py").write_text("raise SystemExit(75)")
    with pytest.raises(runs.StoppedError):
        runs.call("stop.py", log=tmp_path / "log.txt")
    (tmp_path / "good.py").write_text("print('good')")
    assert runs.call("good.py", log=tmp_path / "log.txt") == "good\n"
    assert (tmp_path / "log.txt").read_text() == "some\nno such luck\ngood\n"


def test_a_finished_training_is_not_repeated(runs, tmp_path, monkeypatch):
    calls = []

    def call(*command, log):
        calls.append(command)
        (log.parent / "iter_9.pth").touch()

    monkeypatch.setattr(runs, "call", call)
    checkpoint, seconds = runs.train("a = 1\n", tmp_path / "run", 9, validations=3)
    assert checkpoint == tmp_path / "run" / "iter_9.pth"
    assert calls[0][:2] == ("tools/train.py", tmp_path / "run" / "study.py")
    assert "train_cfg.val_interval=3" in calls[0]
    assert runs.train("a = 1\n", tmp_path / "run", 9) == (checkpoint, seconds)
    assert len(calls) == 1
    with pytest.raises(ValueError, match="is of another study"):
        runs.train("a = 2\n", tmp_path / "run", 9)


def test_validations_of_the_newest_run(runs, tmp_path):
    for name, value in (("20260101_000000", 0.1), ("20260102_000000", 0.2)):
        log = tmp_path / name / "vis_data" / "scalars.json"
        log.parent.mkdir(parents=True)
        lines = [{"loss": 1.0}, {"score": value, "step": 3}]
        log.write_text("\n".join(map(json.dumps, lines)))
    assert runs.validations(tmp_path, "score") == [{"score": 0.2, "step": 3}]


def test_names_and_paths(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert runs.split_name("MMS=a.pth") == ("MMS", str(tmp_path / "a.pth"))
    assert runs.split_name("none") == ("none", "none")
    assert runs.pretrained("none") is None
    assert runs.pretrained("MMS=a.pth")["checkpoint"] == str(tmp_path / "a.pth")
