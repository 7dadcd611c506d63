"""Runs that are killed, stopped, starved and lied to: tools/benchmarks/fault_*.py in short."""

import signal
import sys

import pytest


@pytest.fixture(scope="module")
def faults(request):
    folder = str(request.config.rootpath / "tools" / "benchmarks")
    sys.path.insert(0, folder)
    import fault_checkpoints
    import fault_kills
    import fault_processes

    yield {"kills": fault_kills, "checkpoints": fault_checkpoints, "processes": fault_processes}
    sys.path.remove(folder)
    for name in ("checkpoints", "disks", "jitter", "kills", "lab", "processes", "runs", "setups"):
        sys.modules.pop(f"fault_{name}", None)
    sys.modules.pop("machine", None)


@pytest.fixture(scope="module")
def lab(faults, tmp_path_factory):
    lab = faults["processes"].Lab(tmp_path_factory.mktemp("faults"))
    yield lab
    lab.close()


def test_killed_runs_end_as_if_nothing_had_been(faults, lab, tmp_path):
    tally = faults["kills"].kill_and_resume(tmp_path, 3, 1, lab.zygotes[0])
    assert tally.failures == ()
    assert (tally.kills, tally.equal) == (3, tally.runs)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal(faults, lab, number):
    faults["processes"].stop_by_signal(lab, number)


# Of two processes: nan stands for all that both have to do alike.
SHORT = ("worker", "nan-forever", "file-limit", "no-space-rename", "nan")


@pytest.mark.parametrize("name", SHORT)
def test_one_fault(faults, lab, name):
    faults["processes"].FAULTS[name][1](lab)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_many_kills(faults, lab, tmp_path):
    tally = faults["kills"].kill_and_resume(tmp_path, 50, 0, lab.zygotes[0])
    assert tally.failures == ()
    assert (tally.kills, tally.equal) == (50, tally.runs)
    assert tally.saving > 0


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_many_damaged_checkpoints(faults, lab, tmp_path):
    for result in faults["checkpoints"].damage_everything(tmp_path, 100, 0, lab.zygotes[0]):
        assert result["faults"] == []
        assert result["survived"] == result["injected"]


@pytest.mark.slow
def test_every_fault(faults, lab):
    for name, (_, inject, _) in faults["processes"].FAULTS.items():
        if name not in SHORT:
            try:
                inject(lab)
            except PermissionError:  # no file system can be mounted here
                assert name == "full-disk"
