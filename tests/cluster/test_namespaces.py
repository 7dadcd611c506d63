"""torchrun over two network namespaces: two machines for the network."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fault_preemptions import TOOLS
from fault_runs import ROOT, same_weights, write_run

ADDRESSES = ("10.231.7.1", "10.231.7.2")


@pytest.fixture(scope="module")
def machines():
    """Names of two namespaces with a cable between them."""
    tool = shutil.which("ip", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if tool is None:
        pytest.skip("network namespaces need ip, of the package iproute2")
    names = [f"mms{os.getpid()}{end}" for end in "ab"]

    def ip(*arguments):
        done = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False)
        return done.stderr if done.returncode else None

    refused = ip("netns", "add", names[0])
    if refused:
        pytest.skip(f"no network namespaces on this machine: {refused.strip()}")
    try:
        steps = [["netns", "add", names[1]]]
        steps.append(["link", "add", names[0], "netns", names[0], "type", "veth"])
        steps[-1] += ["peer", "name", names[1], "netns", names[1]]
        for name, address in zip(names, ADDRESSES):
            inside = ["-n", name]
            steps.append([*inside, "addr", "add", f"{address}/24", "dev", name])
            steps += [[*inside, "link", "set", device, "up"] for device in (name, "lo")]
        for step in steps:
            if refused := ip(*step):
                pytest.skip(f"ip {' '.join(step)}: {refused.strip()}")
        yield [[tool, "netns", "exec", name] for name in names]
    finally:
        for name in names:
            ip("netns", "del", name)


def launch(machine, rank, config, work_dir, log):
    """Start the run's part of one machine."""
    variables = {
        "NNODES": "2",
        "NODE_RANK": str(rank),
        "MASTER_ADDR": ADDRESSES[0],
        "PORT": "29500",
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": machine[-1],
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "tests/faults"),
    }
    command = [str(TOOLS / "dist_train.sh"), str(config), "1", "--work-dir", str(work_dir)]
    return subprocess.Popen(
        [*machine, *command], env={**os.environ, **variables}, stdout=log, stderr=log
    )


def first_error(log):
    """The log from its first error on, and its end: torchrun ends with the status of processes."""
    text = log.read_text()
    error = re.search(r"Traceback|terminate called|Error|ERROR|^train\.py: ", text, re.MULTILINE)
    start = error.start() if error else len(text)
    return f"{log.name}:\n{text[start : start + 3000]}\n…\n{text[max(start, len(text) - 1500) :]}"


def test_trains_on_two_machines(machines, tmp_path):
    config = write_run(tmp_path / "run", iterations=8, interval=8, workers=0)
    both, alone = tmp_path / "both", tmp_path / "alone"
    logs = [tmp_path / f"log{rank}" for rank in range(2)]
    started = []
    try:
        for rank, log in enumerate(logs):
            with log.open("w") as file:
                started.append(launch(machines[rank], rank, config, both, file))
        statuses = [process.wait(timeout=240) for process in started]
    finally:
        for process in started:
            process.kill()
    assert statuses == [0, 0], "\n".join(first_error(log) for log in logs)
    # Two processes of one machine do the same.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "tests/faults"), "PATH": path}
    done = subprocess.run(
        [TOOLS / "dist_train.sh", config, "2", "--work-dir", alone],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert same_weights(both / "iter_8.pth", alone / "iter_8.pth")
