import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="the launchers need bash")

# Replaces all programs of a cluster: records its arguments; srun also runs the command after its
# options, as slurm would, and scontrol answers.
RECORDER = """#!{python}
import json, os, subprocess, sys
name = os.path.basename(sys.argv[0])
if name == "python" and sys.argv[1] == "-c":
    os.execv({python!r}, sys.argv)
if name == "scontrol" and sys.argv[1] == "show":
    print({{"hostnames": "localhost\\nn8" if "local" in sys.argv[3] else "no.such.host\\nn8",
           "node": "NodeName=n7 NodeAddr=10.0.0.7 CPUs=2",
           "job": "JobId=77 JobState=" + os.environ.get("JOB", "RUNNING PreemptTime=None ")
           }}[sys.argv[2]])
    sys.exit()
names = ("MASTER_PORT", "MASTER_ADDR", "PYTHONPATH")
if name == "sbatch":
    sys.argv.append(sys.stdin.read())
with open({record!r}, "a") as record:
    json.dump([name, sys.argv[1:], {{k: os.environ.get(k) for k in names}}], record)
    record.write("\\n")
if name == "srun":
    command = sys.argv[1:]
    while command[0].startswith("-"):
        del command[0]
    done = subprocess.run(command)
    sys.exit(int(os.environ.get("ENDS_WITH", done.returncode)))
"""


@pytest.fixture
def launch(tmp_path, repository):
    """Run a launcher with stand-ins on PATH; gives the finished process and the calls it made."""
    record = tmp_path / "calls.jsonl"
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("srun", "sbatch", "scontrol", "torchrun", "python"):
        tool = folder / name
        tool.write_text(RECORDER.format(python=sys.executable, record=str(record)))
        tool.chmod(tool.stat().st_mode | stat.S_IXUSR)

    def run(script, *arguments, without=(), **environment):
        for name in without:
            (folder / name).unlink()
        path = f"{folder}:/usr/bin:/bin"
        if without:  # the machine may have the real one
            for name in ("bash", "dirname"):
                (folder / name).symlink_to(shutil.which(name))
            path = str(folder)
        ours = ("SLURM", "MASTER", "PORT", "GPUS", "NTASKS", "NNODES", "NODE_RANK", "PYTHONPATH")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        inherited["SLURM_NODELIST"] = "local[1-2]"
        done = subprocess.run(
            ["bash", str(repository / "tools" / script), *arguments],
            stdin=subprocess.DEVNULL,
            env={**inherited, "PATH": path, **environment},
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        lines = record.read_text().splitlines() if record.exists() else []
        record.unlink(missing_ok=True)
        return done, [json.loads(line) for line in lines]

    return run


def in_tools(path: str, name: str) -> bool:
    return Path(path).name == name and Path(path).parent.name == "tools"


@pytest.mark.parametrize(
    ("script", "arguments", "called"),
    [
        ("dist_train.sh", ["c.py", "2", "--amp"], ["train.py", "c.py", "--amp"]),
        ("dist_test.sh", ["c.py", "w.pth", "2", "--amp"], ["test.py", "c.py", "w.pth", "--amp"]),
    ],
)
def test_dist_starts_torchrun_with_a_free_port(launch, script, arguments, called):
    done, [(name, line, environment)] = launch(script, *arguments)

    assert done.returncode == 0, done.stderr
    assert name == "torchrun"
    options = dict(option[2:].split("=") for option in line if "=" in option)
    assert 1024 < int(options.pop("master_port")) < 65536
    assert options == dict(nnodes="1", node_rank="0", master_addr="127.0.0.1", nproc_per_node="2")
    rest = line[len(options) + 1 :]
    assert in_tools(rest[0], called[0])
    assert rest[1:] == [*called[1:], "--launcher", "pytorch"]
    assert (Path(environment["PYTHONPATH"]) / "mms_ocr").is_dir()


def test_dist_takes_two_different_ports(launch):
    ports = {launch("dist_train.sh", "c.py", "1")[1][0][1][3] for _ in range(4)}
    assert len(ports) > 1


def test_dist_on_several_machines(launch):
    done, [(_, line, _)] = launch(
        "dist_train.sh", "c.py", "4", NNODES="3", NODE_RANK="1", MASTER_ADDR="n0", PORT="1234"
    )
    assert done.returncode == 0
    options = "--nnodes=3 --node_rank=1 --master_addr=n0 --master_port=1234 --nproc_per_node=4"
    assert line[:5] == options.split()


def test_slurm_with_gpus(launch):
    done, calls = launch(
        "slurm_train.sh",
        *("gpu", "a job", "c.py", "work dir", "--cfg-options", "a=1"),
        GPUS="16",
        SRUN_ARGS="--time=2-0 --exclusive",
        SLURM_JOB_ID="41",
        SLURM_STEP_ID="2",
    )
    assert done.returncode == 0, done.stderr
    (_, srun, _), (_, python, environment) = calls
    assert srun[:9] == [
        *("--partition=gpu", "--job-name=a job", "--gres=gpu:8", "--ntasks=16"),
        *("--ntasks-per-node=8", "--cpus-per-task=5", "--time=2-0", "--exclusive"),
        "--kill-on-bad-exit=1",
    ]
    assert python[0] == "-u"
    assert in_tools(python[1], "train.py")
    options = ["--work-dir", "work dir", "--cfg-options", "a=1", "--launcher", "slurm"]
    assert python[2:] == ["c.py", *options]
    assert environment["MASTER_PORT"] == str(12000 + 41 + 2 * 997)
    assert environment["MASTER_ADDR"] == "localhost"
    assert (Path(environment["PYTHONPATH"]) / "mms_ocr").is_dir()


def test_slurm_gives_the_address_of_a_machine_that_the_network_knows_by_another_name(launch):
    _, calls = launch(
        *("slurm_train.sh", "gpu", "j", "c.py", "w"), SLURM_JOB_ID="1", SLURM_NODELIST="n[7-8]"
    )
    assert calls[1][2]["MASTER_ADDR"] == "10.0.0.7"


def requeued(launch, **environment):
    """Submit a training that is queued again; gives sbatch's options, and the batch script."""
    done, [(name, (*options, script), _)] = launch(
        *("slurm_train.sh", "cpu", "a job", "c.py", "work dir", "--cfg-options", "a='b c'"),
        **{"REQUEUE": "1", "GPUS": "0", "NTASKS": "2", "NNODES": "2", **environment},
    )
    assert done.returncode == 0, done.stderr
    assert name == "sbatch"
    return options, script


def test_slurm_queues_again(launch):
    options, script = requeued(launch, STOP_BEFORE="300", SRUN_ARGS="--time=8:00:00")
    assert {"--requeue", "--signal=USR1@300", "--time=8:00:00"} <= set(options)
    assert {"--ntasks=2", "--nodes=2", "--output=work dir/slurm-%j.out"} <= set(options)
    assert script.startswith("#!/usr/bin/env bash\n")


@pytest.mark.parametrize(
    ("status", "job", "queued"),
    [
        ("0", "RUNNING PreemptTime=None ", False),
        ("75", "RUNNING PreemptTime=None ", True),
        ("75", "COMPLETING PreemptTime=None ", False),  # canceled
        ("1", "RUNNING PreemptTime=None ", False),
        ("143", "RUNNING PreemptTime=None ", False),  # another task failed
        ("143", "RUNNING PreemptTime=2026-11-23T06:07:18 ", True),
    ],
)
def test_batch_script_requeues_a_stopped_run(launch, tmp_path, status, job, queued):
    script = requeued(launch)[1].replace("sleep 60", "sleep 0")
    (tmp_path / "batch.sh").write_text(script)
    done, calls = launch(tmp_path / "batch.sh", SLURM_JOB_ID="77", ENDS_WITH=status, JOB=job)
    assert done.returncode == int(status)
    assert [call[0] for call in calls] == ["srun", "python", *(["scontrol"] if queued else [])]
    assert calls[1][1][2:] == [
        *("c.py", "--work-dir", "work dir", "--cfg-options", "a='b c'", "--resume"),
        *("--launcher", "slurm"),
    ]
    if queued:
        assert calls[2][1] == ["requeue", "77"]


def test_each_attempt_of_a_job_has_its_own_port(launch):
    ports = [
        launch("slurm_train.sh", *"pjcw", SLURM_JOB_ID="1", SLURM_RESTART_COUNT=str(count))[1][1][2]
        for count in range(3)
    ]
    assert len({port["MASTER_PORT"] for port in ports}) == 3


def test_slurm_test_script_with_fewer_gpus_than_a_node_has(launch):
    arguments = ("gpu", "j", "c.py", "w.pth", "--amp")
    _, calls = launch("slurm_test.sh", *arguments, GPUS="2", SLURM_JOB_ID="1", PORT="5555")
    assert calls[0][1][2:5] == ["--gres=gpu:2", "--ntasks=2", "--ntasks-per-node=2"]
    assert in_tools(calls[1][1][1], "test.py")
    assert calls[1][1][2:] == ["c.py", "w.pth", "--amp", "--launcher", "slurm"]
    assert calls[1][2]["MASTER_PORT"] == "5555"


def test_slurm_without_gpus(launch):
    done, calls = launch(
        *("slurm_train.sh", "cpu", "j", "c.py", "w"),
        GPUS="0",
        NTASKS="4",
        CPUS_PER_TASK="2",
        SLURM_JOB_ID="123456789",
    )
    assert done.returncode == 0, done.stderr
    assert calls[0][1][2:4] == ["--ntasks=4", "--cpus-per-task=2"]
    assert not any("gres" in option for option in calls[0][1])
    assert 12000 <= int(calls[1][2]["MASTER_PORT"]) < 32000


@pytest.mark.parametrize(
    ("script", "arguments", "environment", "message"),
    [
        ("dist_train.sh", ["c.py"], {}, "usage: "),
        ("dist_test.sh", ["c.py", "2"], {}, "usage: "),
        ("slurm_train.sh", ["p", "j", "c.py"], {}, "usage: "),
        ("slurm_test.sh", [], {}, "usage: "),
        ("dist_train.sh", ["c.py", "two"], {}, "number of GPUS is 'two'"),
        ("dist_train.sh", ["c.py", "0"], {}, "number of GPUS is '0'"),
        ("dist_train.sh", ["c.py", "2"], {"NNODES": "2"}, "NNODES=2 needs MASTER_ADDR"),
        ("slurm_train.sh", ["p", "j", "c", "w"], {"GPUS": "12"}, "no multiple of GPUS_PER_NODE=8"),
        ("slurm_train.sh", [*"pjcw", "--resume=x"], {"REQUEUE": "1"}, "leave --resume=x out"),
    ],
)
def test_wrong_use_gives_one_line(launch, script, arguments, environment, message):
    done, calls = launch(script, *arguments, **environment)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert calls == []


@pytest.mark.parametrize(
    ("script", "arguments", "tool"),
    [
        ("dist_train.sh", ["c.py", "1"], "torchrun"),
        ("slurm_train.sh", ["p", "j", "c.py", "w"], "srun"),
    ],
)
def test_a_missing_launcher_is_named(launch, script, arguments, tool):
    done, _ = launch(script, *arguments, without=[tool])
    assert done.returncode == 2
    assert f"no {tool} here" in done.stderr
