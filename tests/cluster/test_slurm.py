"""The launchers under a real slurm: a controller and two nodes on this machine, CPU and gloo."""

import random
import re
import time

import pytest
from fault_preemptions import ON_TWO_NODES, TOOLS, is_over, preempted_run, submit, trained
from fault_runs import same_weights, write_run

ITERATIONS = 600
OPTIONS = ("--cfg-options", "train_cfg.val_interval=300", "default_hooks.logger.interval=1")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"), ITERATIONS, interval=100, workers=0)


@pytest.fixture(scope="module")
def trained_run(slurm, config):
    """Work folder and output of a run by srun over two nodes."""
    folder = config.parent / "alone"
    done = slurm.run(
        *(TOOLS / "slurm_train.sh", "low", "train", config, folder, *OPTIONS),
        env=ON_TWO_NODES,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_trains_on_two_nodes(slurm, trained_run):
    folder, output = trained_run
    assert (folder / f"iter_{ITERATIONS}.pth").is_file()
    assert "Distributed launcher: slurm" in output
    assert "GPU number: 2" in output  # MMEngine's name for the number of processes


def test_tests_on_two_nodes(slurm, config, trained_run):
    folder, output = trained_run
    done = slurm.run(
        TOOLS / "slurm_test.sh",
        *("low", "test", config, folder / f"iter_{ITERATIONS}.pth", "--work-dir", folder / "test"),
        env=ON_TWO_NODES,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    validated = re.findall(r"masked_error/mean: ([\d.]+)", output)[-1]
    assert re.findall(r"masked_error/mean: ([\d.]+)", done.stdout) == [validated]


def test_preempted_run_resumes(slurm, config, trained_run):
    folder = config.parent / "preempted"
    run = preempted_run(slurm, config, folder, 1, random.Random(0), OPTIONS, every_at_start=0)
    assert (run.state, run.injected, run.attempts, run.repeated) == ("COMPLETED", 1, 2, 0), run.log
    name = f"iter_{ITERATIONS}.pth"
    assert same_weights(trained_run[0] / name, folder / name)


def test_a_canceled_run_stays_canceled(slurm, config):
    folder = config.parent / "canceled"
    number = submit(slurm, config, folder, *OPTIONS)
    slurm.wait_until(lambda: trained(folder), 120, "the run trains")
    slurm.run("scancel", number)
    slurm.wait_until(lambda: is_over(slurm, number), 60, "the run ends")
    time.sleep(8)  # what was queued again would wait for a moment
    assert slurm.job(number)["JobState"] == "CANCELLED"
    assert int(slurm.job(number)["Restarts"]) == 0


@pytest.mark.slow
def test_job_at_its_time_limit_is_queued_again(slurm, config):
    """Slurm's limits are whole minutes, and it warns tasks a minute before."""
    folder = config.parent / "limited"
    done = slurm.run(
        *(TOOLS / "slurm_train.sh", "low", "train", config, folder, *OPTIONS),
        *("max_iters=2500", "train_cfg.max_iters=2500", "train_cfg.val_interval=2500"),
        env={**ON_TWO_NODES, "REQUEUE": "1", "SRUN_ARGS": "--time=2", "STOP_BEFORE": "60"},
    )
    number = done.stdout.strip()
    slurm.wait_until(lambda: is_over(slurm, number), 900, "the run ends")
    assert slurm.job(number)["JobState"] == "COMPLETED"
    assert int(slurm.job(number)["Restarts"]) >= 1
    assert sorted(set(trained(folder))) == list(range(1, 2501))
