"""No process of a job exits before all of them are done."""

import subprocess
import sys
import time

import pytest
from distributed import in_processes, write_config, write_words
from mmengine.dist import get_rank

from mms_ocr.cli import testing, training
from mms_ocr.cli.joining import exit_process
from mms_ocr.cli.launching import ConfigKeepingRunner


def finish_late(program, options, folder, fails):
    """Run a program whose first process is slow after its last step; write when each is done."""
    rank = []

    def slowly(step):
        def run(runner):
            result = step(runner)
            rank.append(get_rank())
            if rank[0] == 0:
                time.sleep(1)
                (folder / "done").write_text(str(time.time()))
                if fails:
                    raise ValueError("the first process fails at the end")
            return result

        return run

    for name in ("train", "test"):
        setattr(ConfigKeepingRunner, name, slowly(getattr(ConfigKeepingRunner, name)))
    status = program.main(options)
    (folder / f"left_{rank[0]}").write_text(str(time.time()))
    return status


def seconds(path):
    return float(path.read_text())


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return write_config(folder / "c.py", write_words(folder / "words"), iterations=1)


def test_a_slow_process_is_waited_for(tmp_path, config):
    options = ["--work-dir", str(tmp_path / "w"), "--launcher", "pytorch"]
    train = [str(config), *options]
    test = [str(config), str(tmp_path / "w/iter_1.pth"), *options]
    for program, arguments in ((training, train), (testing, test)):
        assert in_processes(2, finish_late, program, arguments, tmp_path, False) == [0, 0]
        assert seconds(tmp_path / "left_1") >= seconds(tmp_path / "done")


def test_only_the_last_error_is_reported(tmp_path, config, capfd):
    options = [str(config), "--work-dir", str(tmp_path / "w"), "--launcher", "pytorch"]
    assert in_processes(2, finish_late, training, options, tmp_path, True) == [2, 0]
    errors = capfd.readouterr().err
    assert "the first process fails at the end" in errors
    assert "Traceback" not in errors


LEAVING = """
import atexit
import torch
from mms_ocr.cli.joining import exit_process

class Late:
    def __del__(self):
        print("finalized")

torch.distributed.init_process_group("gloo", init_method="file://{file}", rank={rank}, world_size=2)
atexit.register(print, "registered")
late = Late()
exit_process(3)
"""


def test_a_process_of_several_exits_without_finalization(tmp_path):
    programs = [LEAVING.format(file=tmp_path / "store", rank=rank) for rank in range(2)]
    started = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        for program in programs
    ]
    for process in started:
        output, _ = process.communicate(timeout=120)
        assert (process.returncode, output) == (3, "registered\n")


def test_single_process_exits_normally():
    with pytest.raises(SystemExit) as left:
        exit_process(75)
    assert left.value.code == 75
