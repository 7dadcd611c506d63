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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from machine import describe_machine
from mmengine.config import Config, DictAction

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
    parser.add_argument(
        "--rendered",
        nargs=2,
        metavar=("FONTS", "WORDS"),
        help="half of every batch: words rendered in these fonts, of this list",
    )
    parser.add_argument(
        "--no-augmentation", action="store_true", help="words as they are: for a few passes only"
    )
    parser.add_argument(
        "--changes",
        nargs="+",
        action=DictAction,
        default={},
        help="further changes of all variants' configs: KEY=VALUE, as of --cfg-options",
    )
    parser.add_argument("--iterations", type=int, default=3000)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=8, help="loader processes of a run (8)")
    parser.add_argument("--parallel", type=int, default=1, help="runs at the same time (1)")
    parser.add_argument("--overfit", action="store_true", help="train on 64 words, and test there")
    parser.add_argument("--work-dir", default="work_dirs/recognition_study")
    args = parser.parse_args(argv)
    if args.overfit and (args.rendered or args.extra):
        parser.error("--overfit trains on 64 words alone: leave out --rendered and --extra")
    for entry in (*args.test, *(name for name in args.encoders if name != "none")):
        name, _, path = entry.partition("=")
        if not name or not Path(path).exists():
            parser.error(f"{entry!r} is not NAME=PATH of a file that is there")
    return args


def study_config(head: str, encoder: str, args: argparse.Namespace) -> Config:
    """The config of a variant."""
    suffix = "_overfit" if args.overfit else ""
    cfg = Config.fromfile(ROOT / f"configs/textrecog/mms_vit_{args.arch}_{head}_words{suffix}.py")
    paths = [str(Path(path).resolve()) for path in args.train]
    words = cfg.train_dataloader.dataset
    if args.no_augmentation:
        words.pipeline = cfg.val_dataloader.dataset.pipeline
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.path = paths[0] if args.overfit else paths
        loader.num_workers = args.workers if loader is cfg.train_dataloader else 1
    extra = further_words(args, cfg.val_dataloader.dataset.pipeline, words.pipeline)
    if extra:
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
    cfg.merge_from_dict(args.changes)
    return cfg


def further_words(args: argparse.Namespace, plain: list, augmented: list) -> dict | None:
    """The data set that makes half of every batch, if one is wanted."""
    if args.rendered:
        fonts, words = (str(Path(path).resolve()) for path in args.rendered)
        return dict(
            type="mms_ocr.RenderedWordDataset",
            num_samples=1_000_000,
            fonts=fonts,
            words=words,
            extras=("char_boxes",),
            pipeline=plain,  # the renderer augments
        )
    if args.extra:
        path = str(Path(args.extra).resolve())
        return dict(type="mms_ocr.WordImageDataset", path=path, labelled=True, pipeline=augmented)
    return None


def label(head: str, encoder: str, args: argparse.Namespace) -> str:
    return re.sub(r"\W+", "_", f"{args.arch}_{head}_{encoder.partition('=')[0]}")


def train(head: str, encoder: str, args: argparse.Namespace) -> Path:
    """Train a variant; its last checkpoint."""
    cfg = study_config(head, encoder, args)
    iterations = cfg.train_cfg.max_iters if args.overfit else args.iterations
    folder = Path(args.work_dir, label(head, encoder, args)).resolve()
    checkpoint = folder / f"iter_{iterations}.pth"
    if checkpoint.exists():
        return checkpoint
    folder.mkdir(parents=True, exist_ok=True)
    cfg.dump(str(folder / "study.py"))
    start = time.time()
    call(
        "tools/train.py",
        folder / "study.py",
        *("--work-dir", folder, "--iterations", iterations, "--cfg-options"),
        f"train_cfg.val_interval={max(1, iterations // (8 if args.overfit else 3))}",
        f"default_hooks.checkpoint.interval={iterations}",
        output=folder / "output.txt",
    )
    (folder / "seconds.txt").write_text(str(time.time() - start))
    return checkpoint


def test(checkpoint: Path, args: argparse.Namespace) -> dict[str, dict]:
    """Accuracies of a checkpoint on the test sets, by name, as `tools/test.py` writes them."""
    folder = checkpoint.parent / "test"
    call(
        "tools/test.py",
        *(checkpoint.parent / "study.py", checkpoint, "--work-dir", folder, "--data"),
        *(f"{name}={Path(path).resolve()}" for name, path in map(named, args.test)),
        output=checkpoint.parent / "test.txt",
    )
    report = json.loads((folder / "benchmark.json").read_text())
    return {one["name"]: one["accuracy"] for one in report["sets"]}


def named(entry: str) -> tuple[str, str]:
    """Name and path of `NAME=PATH`."""
    name, _, path = entry.partition("=")
    return name, path


def call(*command: object, output: Path) -> None:
    """Run a program of this repository, its output into a file."""
    with open(output, "w") as file:
        done = subprocess.run(
            [sys.executable, *map(str, command)],
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    if done.returncode:
        last = output.read_text().strip().splitlines()[-1:]
        raise RuntimeError(f"{command[0]} failed, see {output}: {''.join(last)}")


def validations(folder: Path) -> list[dict[str, float]]:
    """What the validations of a run found, in their order: word accuracy by protocol."""
    rows = []
    for file in sorted(folder.glob("*/vis_data/scalars.json")):
        for line in file.read_text().splitlines():
            row = json.loads(line)
            if f"recog/{next(iter(PROTOCOLS))}" in row:
                rows.append({protocol: row[f"recog/{protocol}"] for protocol in PROTOCOLS})
    return rows


def measure(variant: tuple[str, str], args: argparse.Namespace) -> list[str]:
    """Train and test a variant: its row of the table."""
    head, encoder = variant
    checkpoint = train(head, encoder, args)
    found = validations(checkpoint.parent)
    first = [head, named(encoder)[0]]
    if args.overfit:
        shares = [f"{100 * one[next(iter(PROTOCOLS))]:.1f}" for one in found]
        print(f"{checkpoint.parent.name} is done", flush=True)
        return [*first, ", ".join(shares)]
    scores = {HELD_OUT: found[-1]} | (test(checkpoint, args) if args.test else {})
    cells = [f"{100 * score[key]:.1f}" for score in scores.values() for key in PROTOCOLS]
    seconds = float((checkpoint.parent / "seconds.txt").read_text())
    print(f"{checkpoint.parent.name}: {' '.join(cells)}", flush=True)
    return [*first, *cells, f"{seconds:.0f}"]


def main() -> None:
    args = parse_args()
    variants = [(head, encoder) for head in args.heads for encoder in args.encoders]
    with ThreadPoolExecutor(args.parallel) as pool:
        rows = list(pool.map(measure, variants, [args] * len(variants)))
    print(f"\n{describe_machine('cuda' if torch.cuda.is_available() else 'cpu')}")
    if args.overfit:
        print("first 64 words of the training set, trained on and measured on\n")
        first = ["decoder", "encoder", "words read right after each eighth of the run, any case, %"]
    else:
        extra = f", half of the words from {Path(args.extra).name}" if args.extra else ""
        extra = ", half of the words rendered" if args.rendered else extra
        print(
            f"{args.iterations:,} steps of {args.batch_size} words{extra}, learning rate "
            f"{args.lr:g}, seed {args.seed}"
            f"{', no augmentation' if args.no_augmentation else ''}"
            f"{''.join(f', {key}={value}' for key, value in args.changes.items())}\n"
        )
        sets = [HELD_OUT, *(named(entry)[0] for entry in args.test)]
        columns = [f"{name}: {words}, %" for name in sets for words in PROTOCOLS.values()]
        first = ["decoder", "encoder", *columns, "s"]
    print(markdown_table([first, *rows]))


if __name__ == "__main__":
    main()
