r"""Compare recognizers with and without a pretrained encoder, under the same training.

Every variant, a decoder on an encoder, trains on the same labelled words with the same number of
steps at one learning rate; its last weights then read the test sets and the tenth of the training
words that was held out. Encoders from a checkpoint train with layer decay, as in the configs.
Finished trainings are not repeated.

    python projects/studies/recognition.py --train iiit5k/train.jsonl icdar2015/train.jsonl \
        --test iiit5k=iiit5k/test.jsonl --encoders none MMS=work_dirs/mms/iter_80000.pth

`--overfit` trains on the first 64 words only and reads the same words, as a check of the model.
"""

import argparse
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from runs import PROTOCOLS, ROOT, pretrained, split_name, test_words, train, validations

from mms_ocr.evaluation.benchmark_scores import markdown_table
from mms_ocr.utils.devices import describe_machine

HELD_OUT = "held out"
READ = "word_acc_ignore_case_symbol"
OVERFIT_WORDS, OVERFIT_STEPS = 64, 400


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
            parser.error(f"{entry!r} is not NAME=PATH of an existing file")
    return args


def study_config(head: str, encoder: str, args: argparse.Namespace) -> Config:
    """Build the config of a variant."""
    cfg = Config.fromfile(ROOT / f"configs/textrecog/mms_vit_{args.arch}_{head}_words.py")
    paths = [str(Path(path).resolve()) for path in args.train]
    words = cfg.train_dataloader.dataset
    if args.no_augmentation:
        words.pipeline = cfg.val_dataloader.dataset.pipeline
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.path = paths
        loader.num_workers = args.workers if loader is cfg.train_dataloader else 1
    extra = further_words(args, cfg.val_dataloader.dataset.pipeline, words.pipeline)
    if extra:
        cfg.train_dataloader.dataset = dict(
            type="mms_ocr.MixedDataset", datasets=[extra, words], weights=[1, 1]
        )
    cfg.train_dataloader.batch_size = args.batch_size
    cfg.optim_wrapper.optimizer.lr = args.lr
    cfg.randomness = dict(seed=args.seed)
    cfg.model.backbone.init_cfg = pretrained(encoder)
    if args.overfit:
        set_overfit(cfg, head)
    cfg.merge_from_dict(args.changes)
    return cfg


def set_overfit(cfg: Config, head: str) -> None:
    """Train on the first words without augmentation and regularization, and validate on them."""
    cfg.model.backbone.drop_path_rate = 0.0
    if head == "ar":
        cfg.model.decoder.update(dropout=0.0, auxiliary=None)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.update(holdout=None, indices=OVERFIT_WORDS)
    cfg.train_dataloader.batch_size = OVERFIT_WORDS
    cfg.train_dataloader.dataset.pipeline = cfg.val_dataloader.dataset.pipeline
    cfg.optim_wrapper.optimizer.update(lr=1e-3, weight_decay=0.0)
    cfg.optim_wrapper.paramwise_cfg.layer_decay_rate = 1.0


def further_words(args: argparse.Namespace, plain: list, augmented: list) -> dict | None:
    """Build the config of the data set of half of every batch, if there is one."""
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


def measure(variant: tuple[str, str], args: argparse.Namespace) -> list[str]:
    """Train and test a variant: its row of the table."""
    head, encoder = variant
    folder = Path(args.work_dir, label(head, encoder, args))
    steps, parts = (OVERFIT_STEPS, 8) if args.overfit else (args.iterations, 3)
    checkpoint, seconds = train(study_config(head, encoder, args), folder, steps, parts)
    lines = validations(folder, f"recog/{READ}")
    first = [head, split_name(encoder)[0]]
    if args.overfit:
        print(f"{folder.name} is done", flush=True)
        return [*first, ", ".join(f"{100 * line[f'recog/{READ}']:.1f}" for line in lines)]
    scores = {HELD_OUT: {key: lines[-1][f"recog/{key}"] for key in PROTOCOLS}}
    scores |= test_words(checkpoint, args.test) if args.test else {}
    cells = [f"{100 * score[key]:.1f}" for score in scores.values() for key in PROTOCOLS]
    print(f"{checkpoint.parent.name}: {' '.join(cells)}", flush=True)
    return [*first, *cells, f"{seconds:.0f}"]


def main() -> None:
    args = parse_args()
    variants = [(head, encoder) for head in args.heads for encoder in args.encoders]
    with ThreadPoolExecutor(args.parallel) as pool:
        rows = list(pool.map(measure, variants, [args] * len(variants)))
    print(f"\n{describe_machine('cuda' if torch.cuda.is_available() else 'cpu')}")
    if args.overfit:
        print(f"trained and measured on the first {OVERFIT_WORDS} words of the training set\n")
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
        sets = [HELD_OUT, *(split_name(entry)[0] for entry in args.test)]
        columns = [f"{name}: {words}, %" for name in sets for words in PROTOCOLS.values()]
        first = ["decoder", "encoder", *columns, "s"]
    print(markdown_table([first, *rows]))


if __name__ == "__main__":
    main()
