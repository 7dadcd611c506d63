"""The other tasks through the slurm scripts, over two nodes; test_slurm.py has pretraining."""

import importlib.util

import pytest
from fault_preemptions import ON_TWO_NODES, TOOLS
from tiny_tasks import task_options, write_data, write_task

needs_mmocr = pytest.mark.skipif(
    importlib.util.find_spec("mmocr") is None, reason="recognizers need MMOCR"
)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "task", [pytest.param("textrecog", marks=needs_mmocr), "segmentation", "super_resolution"]
)
def test_a_task_over_two_nodes(slurm, tmp_path, task):
    config, work = write_task(tmp_path / "c.py", task), tmp_path / "w"
    options = task_options(task, write_data(tmp_path))
    train = (TOOLS / "slurm_train.sh", "low", "train", config, work, "--iterations", "2")
    done = slurm.run(*train, *options, env=ON_TWO_NODES, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    held_out = ["--held-out"] if task == "textrecog" else []
    test = (TOOLS / "slurm_test.sh", "low", "test", config, work / "iter_2.pth", *held_out)
    done = slurm.run(*test, "--work-dir", work / "test", *options, env=ON_TWO_NODES, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    # One process writes the results.
    assert len(list((work / "test").glob("*/*.json"))) == 1
