"""Small training runs for injected faults, shared by the fault_*.py scripts and their tests.

A run is tiny, and everything in it draws random numbers: the masks, the model (drop path, a sample
of patches to predict), and a transform in the loader's workers. It keeps an average of its weights,
validates, and saves every few iterations. Starting Python and importing torch would take most of
the time, so that a process which has imported everything is forked for each run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STUCK = 120  # seconds after which a run that should have ended is said to hang

CONFIG = """
_base_ = ["{root}/configs/mms/pretrain_vit_s_words.py"]
custom_imports = dict(imports=["fault_jitter"], allow_failed_imports=False)
model = dict(
    backbone=dict(
        arch=dict(
            _delete_=True, embed_dims=24, num_layers=2, num_heads=3, feedforward_channels=48
        ),
        drop_path_rate=0.3,
    ),
    neck=dict(decoder_embed_dim=16, decoder_depth=1, decoder_num_heads=4),
)
train_dataloader = dict(
    batch_size=4,
    num_workers={workers},
    persistent_workers={workers} > 0,
    dataset=dict(
        path="{data}",
        pipeline=[
            dict(type="mms_ocr.ResizeWordImage", size=(32, 128)),
            dict(type="mms_ocr.FaultJitter"),
            dict(type="mms_ocr.PackWordImage", meta_keys=()),
        ],
    ),
)
val_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False, dataset=dict(path="{data}", indices=8)
)
test_dataloader = val_dataloader
custom_hooks = [dict(type="EMAHook", momentum=0.1)]
default_hooks = dict(
    checkpoint=dict(interval={interval}, max_keep_ckpts=2), logger=dict(interval=4)
)
train_cfg = dict(max_iters={iterations}, val_interval=6)
max_iters = {iterations}
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=4),
    dict(type="CosineAnnealingLR", T_max=20, by_epoch=False, begin=4, end={iterations}),
]
auto_scale_lr = dict(enable=False)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(lr=1e-3))
"""


def write_run(folder: Path, iterations: int = 24, interval: int = 4, workers: int = 2) -> Path:
    """Write the config of a tiny run, and its word images; return the config's path."""
    import numpy as np

    from mms_ocr.utils.files import write_image

    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "words"
    if not data.is_dir():
        data.mkdir()
        rng = np.random.default_rng(0)
        for number in range(40):
            pixels = rng.integers(0, 256, (8, 32, 3), dtype=np.uint8)
            write_image(data / f"{number:03}.png", pixels)
    config = folder / "run.py"
    config.write_text(
        CONFIG.format(
            root=ROOT, data=data, iterations=iterations, interval=interval, workers=workers
        )
    )
    return config


@dataclass
class Ended:
    """How a run ended."""

    status: int  # exit status, or minus the signal's number
    output: str  # what it wrote on standard output and error
    seconds: float

    @property
    def line(self) -> str:
        """The last line of output with the prefix of train.py."""
        lines = [line for line in self.output.splitlines() if line.startswith("train.py: ")]
        return lines[-1] if lines else ""

    @property
    def traceback(self) -> bool:
        """Whether the user was shown a traceback."""
        return "Traceback (most recent call last)" in self.output


class Zygote:
    """A process with everything imported, which is forked for each run."""

    def __init__(self) -> None:
        own = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
        paths = [str(ROOT), str(Path(__file__).parent)]
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **own, "PYTHONPATH": os.pathsep.join(paths)},
        )
        self._read("ready")
        self.pid = 0  # of the run that has not been waited for

    def start(self, *arguments: object, output: Path, setup: str = "", **environment: str) -> int:
        """Start tools/train.py with these arguments, after the Python code ``setup``.

        ``output`` gets what it writes. Returns the number of the process.
        """
        if self.pid:
            self.signal(signal.SIGKILL)
            self.wait()
        order = dict(
            arguments=[str(argument) for argument in arguments],
            output=str(output),
            setup=setup,
            environment=environment,
        )
        self._output, self._started = output, time.monotonic()
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        self.pid = self._read("pid")
        return self.pid

    def signal(self, number: int) -> None:
        """Send the run a signal, if it has not ended yet."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self) -> Ended:
        """Wait for the run to end; one that hangs is killed, and its status is -9."""
        status = self._read("status")
        self.pid = 0
        seconds = time.monotonic() - self._started
        return Ended(status, self._output.read_text(errors="replace"), seconds)

    def run(self, *arguments: object, **options: object) -> Ended:
        """Start and wait."""
        self.start(*arguments, **options)
        return self.wait()

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _read(self, expected: str) -> int:
        word, _, number = self._process.stdout.readline().partition(" ")
        if word != expected:
            raise RuntimeError("the process that is forked for each run has died")
        return int(number)


def serve() -> None:
    """Fork a run for each line of standard input."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # output of imports is not an answer
    import fault_jitter  # noqa: F401
    from yapf.yapflib import yapf_api

    import mms_ocr.datasets.word_images
    import mms_ocr.evaluation
    import mms_ocr.models  # noqa: F401
    from mms_ocr.cli import training

    # Most of a tiny run's time would go into the layout of its config in each checkpoint.
    yapf_api.FormatCode = lambda text, **_: (text, True)
    print("ready 1", file=answers, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(order, training.main)
        print("pid", pid, file=answers, flush=True)
        print("status", _wait(pid), file=answers, flush=True)


def _become(order: dict, main: object) -> None:
    """Turn the forked process into a run; does not return."""
    status = 1
    try:
        os.environ.update(order["environment"])
        output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        for number in (1, 2):
            os.dup2(output, number)
        exec(order["setup"], {})
        status = main(order["arguments"])
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        if status == 0 or status == 2:
            # As Python would: ends the workers.
            import multiprocessing.util

            multiprocessing.util._exit_function()
        os._exit(status)


def _wait(pid: int) -> int:
    until = time.monotonic() + STUCK
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def weights_of(path: Path) -> dict:
    """Read all tensors of the last checkpoint: weights, their average, the optimizer's state."""
    from mms_ocr.models.weights import read_checkpoint

    checkpoint = read_checkpoint(path)
    tensors = {f"weights.{key}": value for key, value in checkpoint["state_dict"].items()}
    tensors |= {f"average.{key}": value for key, value in checkpoint["ema_state_dict"].items()}
    for number, state in checkpoint["optimizer"]["state"].items():
        tensors |= {f"optimizer.{number}.{key}": value for key, value in state.items()}
    return tensors


def same_weights(run: Path, other: Path) -> bool:
    """Return whether two runs ended with the same weights, averages and optimizer states."""
    first, second = weights_of(run), weights_of(other)
    return first.keys() == second.keys() and all(
        first[key].dtype == second[key].dtype
        and first[key].numpy().tobytes() == second[key].numpy().tobytes()
        for key in first
    )


def parse_args(doc: str, only: Collection[str] = (), **numbers: int) -> argparse.Namespace:
    """Parse ``--NAME NUMBER``, ``--folder`` (a temporary one by default), and ``--only``."""
    from mms_ocr.utils.devices import describe_machine

    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    if only:
        parser.add_argument("--only", nargs="+", choices=only, default=list(only))
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    args.folder = args.folder or Path(tempfile.mkdtemp(prefix="faults_"))
    print(describe_machine(), flush=True)
    return args


def row(fault: str, injected: int, survived: int, lost: str, command: str) -> str:
    """Format a row of the table of docs/results/reliability.md."""
    return f"| {fault} | {injected} | {survived} | {lost} | `{command}` |"


if __name__ == "__main__":
    serve()
