r"""Train several configs in parallel for the same time, and test each.

The learning rate follows the clock instead of the number of steps: it rises for a tenth of the time
and falls by half a cosine, so that every run has a whole schedule however fast the machine is. Time
counts from the first step of a run. `tools/test.py` then measures the last weights.

    python projects/studies/by_clock.py --seconds 120 --work-dir work_dirs/by_clock \
        --run ar_none configs/textrecog/mms_vit_t_ar_words.py --data train.jsonl \
              --test iiit5k=test.jsonl --set train_dataloader.batch_size=512 \
        --run ar_MMS … --set model.backbone.init_cfg.checkpoint=encoder.pth
"""

import argparse
import math
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mmengine.hooks import Hook
from runs import call, write_config

from mms_ocr.registry import HOOKS

NEVER = 10**9
CONFIG = """_base_ = [{base!r}]
custom_imports = dict(imports=["by_clock"], allow_failed_imports=False)
custom_hooks = [dict(type="mms_ocr.ClockSchedule", seconds={seconds})]
param_scheduler = []
train_cfg = dict(max_iters={never}, val_interval={never})
default_hooks = dict(checkpoint=dict(interval={never}, save_best=None), logger=dict(interval=20))
"""
# Recognition without augmentation, which costs processor time.
PLAIN = "train_dataloader = dict(dataset=dict(pipeline={{_base_.pipeline}}))\n"


@HOOKS.register_module(force=True)
class ClockSchedule(Hook):
    """Learning rates by the clock, and the end of the run."""

    priority = "VERY_LOW"

    def __init__(self, seconds: float, warm_up: float = 0.1) -> None:
        self.seconds, self.warm_up, self.start = seconds, warm_up, math.nan

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Set the rates of this step; the first one past the time is the last."""
        if math.isnan(self.start):
            self.start = time.monotonic()
        share = (time.monotonic() - self.start) / self.seconds
        scale = max(share / self.warm_up, 0.01)
        if share > self.warm_up:
            rest = min((share - self.warm_up) / (1 - self.warm_up), 1)
            scale = 0.5 * (1 + math.cos(math.pi * rest))
        for group in runner.optim_wrapper.param_groups:
            group.setdefault("initial_lr", group["lr"])
            group["lr"] = group["initial_lr"] * scale
        if share >= 1:
            runner.train_loop._max_iters = runner.iter + 1


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, required=True, help="of training, for each run")
    parser.add_argument("--work-dir", required=True)
    parser.add_argument(
        "--run", nargs=argparse.REMAINDER, required=True, help="NAME CONFIG [--data PATH …] "
        "[--test [NAME=]PATH …] [--plain] [--set KEY=VALUE …], and the next --run"
    )  # fmt: skip
    args = parser.parse_args(argv)
    words, args.runs = [*args.run, "--run"], []
    while words:
        place = words.index("--run")
        args.runs.append(parse_run(words[:place]))
        words = words[place + 1 :]
    return args


def parse_run(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("config")
    parser.add_argument("--data", nargs="+", default=[])
    parser.add_argument("--test", nargs="+", default=[])
    parser.add_argument("--plain", action="store_true", help="without augmentation")
    parser.add_argument("--set", nargs="+", default=[])
    return parser.parse_args(words)


def measure(run: argparse.Namespace, args: argparse.Namespace) -> str:
    """Train and test one run, and print what was measured."""
    folder = Path(args.work_dir, run.name).resolve()
    base = str(Path(run.config).resolve())
    text = CONFIG.format(base=base, seconds=args.seconds, never=NEVER)
    config = write_config(text + (PLAIN if run.plain else ""), folder)
    here = Path(__file__).parent
    options = ["--cfg-options", *run.set] if run.set else []
    data = ["--data", *run.data] if run.data else []
    shared = ["--work-dir", folder, *data, *options]
    text = call("tools/train.py", config, *shared, log=folder / "train.txt", python_path=here)
    checkpoint = max(folder.glob("iter_*.pth"), key=lambda path: path.stat().st_mtime)
    steps = re.findall(r"Iter\(train\).*? time: ([\d.]+)", text)
    if run.test:
        shared = ["--work-dir", folder / "test", "--data", *run.test, *options]
    command = ("tools/test.py", config, checkpoint, *shared)
    text = call(*command, log=folder / "test.txt", python_path=here)
    scores = [line for line in text.splitlines() if "Iter(test)" in line][-1:]
    scores += [line for line in text.splitlines() if line.startswith("|")]
    last = f", {steps[-1]} s each at the end" if steps else ""
    report = [f"{run.name}: {checkpoint.stem.split('_')[1]} steps{last}"]
    report += [re.sub(r".*Iter\(test\)\s*", "", line) for line in scores]
    print("\n".join(report), flush=True)
    return report[0]


def main() -> None:
    args = parse_args()
    with ThreadPoolExecutor(len(args.runs)) as pool:
        list(pool.map(measure, args.runs, [args] * len(args.runs)))


if __name__ == "__main__":
    main()
