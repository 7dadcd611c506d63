r"""What a pretrained encoder gives a recognizer: the same training with and without it.

Every variant, a decoder on an encoder, trains on the same labelled words with the same number of
steps, at one learning rate; its last weights then read the test sets and the tenth of the training
words that was held out. Encoders that start from a checkpoint learn with layer decay, as the
configs have it for them. Trained runs that are there already are not repeated.

    python tools/benchmarks/study_recognition.py --train iiit5k/train.jsonl icdar2015/train.jsonl \
        --test iiit5k=iiit5k/test.jsonl --encoders none MMS=work_dirs/mms/iter_80000.pth

`--overfit` trains on the first 64 words alone instead, and measures on the same: can it learn?
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import torch
from machine import describe_machine
from mmengine.config import Config

import mms_ocr.registry  # noqa: F401
from mms_ocr.evaluation.benchmark_table import markdown_table

ROOT = Path(__file__).resolve().parents[2]
PROTOCOLS = {
    "word_acc_ignore_case_symbol": "letters and digits, any case",
    "word_acc": "all characters, cased",
}
HELD_OUT = "held out"


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", nargs="+", required=True, help="labelled words to train on")
    parser.add_argument("--test", nargs="+", default=[], help="test sets: NAME=PATH")
    parser.add_argument(
        "--encoders", nargs="+", default=["none"], help="NAME=CHECKPOINT, or none for random ones"
    )
    parser.add_argument("--heads", nargs="+", choices=("ar", "ctc"), default=["ar", "ctc"])
    parser.add_argument("--arch", choices=("t", "s", "b"), default="t")
    parser.add_argument("--extra", help="further labelled words, half of every batch")
    parser.add_argument("--iterations", type=int, default=3000)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=8, help="loader processes of a run (8)")
    parser.add_argument("--parallel", type=int, default=1, help="runs at the same time (1)")
    parser.add_argument("--overfit", action="store_true", help="train on 64 words, and test there")
    parser.add_argument("--work-dir", default="work_dirs/recognition_study")
    args = parser.parse_args(argv)
    for entry in (*args.test, *(name for name in args.encoders if name != "none")):
        name, _, path = entry.partition("=")
        if not name or not Path(path).exists():
            parser.error(f"{entry!r} is not NAME=PATH of a file that is there")
    return args


def study_config(head: str, encoder: str, args: argparse.Namespace) -> Config:
    """The config of a variant."""
    suffix = "_overfit" if args.overfit else ""
    cfg = Config.fromfile(ROOT / f"configs/recognition/mms_vit_{args.arch}_{head}_words{suffix}.py")
    paths = [str(Path(path).resolve()) for path in args.train]
    words = cfg.train_dataloader.dataset
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.path = paths[0] if args.overfit else paths
        loader.num_workers = args.workers if loader is cfg.train_dataloader else 1
    if args.extra:
        extra = dict(
            type="mms_ocr.WordImageDataset",
            path=str(Path(args.extra).resolve()),
            labelled=True,
            pipeline=words.pipeline,
        )
        cfg.train_dataloader.dataset = dict(
            type="mms_ocr.MixedDataset", datasets=[extra, words], weights=[1, 1]
        )
    if not args.overfit:
        cfg.train_dataloader.batch_size = args.batch_size
        cfg.optim_wrapper.optimizer.lr = args.lr
    cfg.randomness = dict(seed=args.seed)
    if encoder != "none":
        checkpoint = str(Path(encoder.partition("=")[2]).resolve())
        cfg.model.backbone.init_cfg = dict(type="mms_ocr.PretrainedTextViT", checkpoint=checkpoint)
    return cfg


def label(head: str, encoder: str, args: argparse.Namespace) -> str:
    return re.sub(r"\W+", "_", f"{args.arch}_{head}_{encoder.partition('=')[0]}")


def train(variants: list[tuple[str, str]], args: argparse.Namespace) -> dict[str, Path]:
    """Train all variants, several at a time; their last checkpoints, by label."""
    checkpoints, waiting, running = {}, [], []
    for head, encoder in variants:
        cfg = study_config(head, encoder, args)
        iterations = cfg.train_cfg.max_iters if args.overfit else args.iterations
        name = label(head, encoder, args)
        folder = Path(args.work_dir, name).resolve()
        checkpoints[name] = folder / f"iter_{iterations}.pth"
        if checkpoints[name].exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        cfg.dump(str(folder / "study.py"))
        command = [
            *(sys.executable, "tools/train.py", str(folder / "study.py")),
            *("--work-dir", str(folder), "--iterations", str(iterations), "--cfg-options"),
            f"train_cfg.val_interval={max(1, iterations // 3)}",
            f"default_hooks.checkpoint.interval={iterations}",
        ]
        waiting.append((name, folder, command))
    while waiting or running:
        while waiting and len(running) < args.parallel:
            name, folder, command = waiting.pop(0)
            output = open(folder / "output.txt", "w")  # noqa: SIM115  (open as long as it runs)
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )
            running.append((name, folder, process, output, time.time()))
        time.sleep(0.5)
        for run in [one for one in running if one[2].poll() is not None]:
            name, folder, process, output, start = run
            running.remove(run)
            output.close()
            if process.returncode:
                last = (folder / "output.txt").read_text().strip().splitlines()[-1:]
                sys.exit(f"{name} failed, see {folder / 'output.txt'}: {''.join(last)}")
            (folder / "seconds.txt").write_text(str(time.time() - start))
            print(f"{name}: {time.time() - start:.0f} s", flush=True)
    return checkpoints


def test(checkpoint: Path, args: argparse.Namespace) -> dict[str, dict]:
    """Accuracies of a checkpoint, by test set, as `tools/test.py` writes them."""
    sets = dict(entry.split("=", 1) for entry in args.test)
    scores: dict[str, dict] = {}
    command = [sys.executable, "tools/test.py", str(checkpoint.parent / "study.py")]
    calls = [["--data", *(f"{name}={Path(path).resolve()}" for name, path in sets.items())]]
    if not args.overfit:
        held_out = (f"train{place}={Path(path).resolve()}" for place, path in enumerate(args.train))
        calls.append(["--held-out", "--data", *held_out])
    for place, options in enumerate(calls):
        if options[-1] == "--data":
            continue
        folder = checkpoint.parent / f"test{place}"
        done = subprocess.run(
            [*command, str(checkpoint), *options, "--work-dir", str(folder)],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.exit(f"tools/test.py on {checkpoint} failed: {done.stderr.strip()[-500:]}")
        report = json.loads(next(folder.glob("*.json")).read_text())
        if place:
            scores[HELD_OUT] = report["of_all_images"]
        else:
            scores |= {one["name"]: one["accuracy"] for one in report["sets"]}
    return scores


def course(folder: Path) -> list[tuple[int, float]]:
    """Word accuracy of the run's own validations: iteration, share."""
    rows = []
    for file in sorted(folder.glob("*/vis_data/scalars.json")):
        for line in file.read_text().splitlines():
            row = json.loads(line)
            if "recog/word_acc_ignore_case_symbol" in row:
                rows.append((row["step"], row["recog/word_acc_ignore_case_symbol"]))
    return rows


def main() -> None:
    args = parse_args()
    variants = [(head, encoder) for head in args.heads for encoder in args.encoders]
    checkpoints = train(variants, args)
    print(f"\n{describe_machine('cuda' if torch.cuda.is_available() else 'cpu')}")
    if args.overfit:
        print("first 64 words of the training set, trained on and measured on\n")
        rows = [["decoder", "encoder", "words read right, any case, after each validation, %"]]
        for head, encoder in variants:
            name = label(head, encoder, args)
            shares = [f"{100 * share:.1f}" for _, share in course(checkpoints[name].parent)]
            rows.append([head, encoder.partition("=")[0], ", ".join(shares)])
        print(markdown_table(rows))
        return
    extra = f", half of the words from {Path(args.extra).name}" if args.extra else ""
    print(
        f"{args.iterations:,} steps of {args.batch_size} words{extra}, learning rate {args.lr:g}, "
        f"seed {args.seed}\n"
    )
    names = [HELD_OUT, *(entry.partition("=")[0] for entry in args.test)]
    head_row = ["decoder", "encoder"]
    head_row += [f"{name}: {words}" for name in names for words in PROTOCOLS.values()]
    rows = [[*head_row, "s"]]
    for head, encoder in variants:
        checkpoint = checkpoints[label(head, encoder, args)]
        scores = test(checkpoint, args)
        seconds = (checkpoint.parent / "seconds.txt").read_text()
        cells = [
            f"{100 * scores[name][key]:.1f}" if name in scores else "-"
            for name in names
            for key in PROTOCOLS
        ]
        rows.append([head, encoder.partition("=")[0], *cells, f"{float(seconds):.0f}"])
    print(markdown_table(rows))


if __name__ == "__main__":
    main()
