"""Runs that are killed, stopped and damaged: the fault_*.py scripts in short."""

import signal

import fault_checkpoints
import fault_kills
import fault_processes
import pytest


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = fault_processes.Lab(tmp_path_factory.mktemp("faults"))
    yield lab
    lab.close()


def test_killed_runs_end_with_the_same_weights(lab, tmp_path):
    tally = fault_kills.kill_and_resume(tmp_path, 3, 1, lab.zygotes[0])
    assert tally.failures == ()
    assert (tally.kills, tally.equal) == (3, tally.runs)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal(lab, number):
    fault_processes.stop_by_signal(lab, number)


# Of two processes: nan is an example of what both have to do alike.
SHORT = ("worker", "nan-forever", "file-limit", "no-space-rename", "nan")


@pytest.mark.parametrize("name", SHORT)
def test_one_fault(lab, name):
    fault_processes.FAULTS[name][1](lab)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_many_kills(lab, tmp_path):
    tally = fault_kills.kill_and_resume(tmp_path, 50, 0, lab.zygotes[0])
    assert tally.failures == ()
    assert (tally.kills, tally.equal) == (50, tally.runs)
    assert tally.saving > 0


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_many_damaged_checkpoints(lab, tmp_path):
    for result in fault_checkpoints.damage_everything(tmp_path, 100, 0, lab.zygotes[0]):
        assert result["faults"] == []
        assert result["survived"] == result["injected"]


@pytest.mark.slow
def test_every_fault(lab):
    for name, (_, inject, _) in fault_processes.FAULTS.items():
        if name not in SHORT:
            try:
                inject(lab)
            except PermissionError:  # no file system can be mounted here
                assert name == "full-disk"
