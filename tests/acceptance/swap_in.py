"""Train every swap-in config on a few words, and check that each reads them.

    python tests/acceptance/swap_in.py iiit5k/train.jsonl --steps 200 --words 64
    python tests/acceptance/swap_in.py iiit5k/train.jsonl --steps 12 --words 8 --shallow

Losses of the first and the last step and words read afterwards, as a Markdown table. This says that
the parts work together, and nothing about accuracy: the words are those that were trained on.
"""

import argparse
import inspect
import sys
import time
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope

from mms_ocr.models import TextViT
from mms_ocr.registry import DATASETS, MODELS
from mms_ocr.utils.devices import describe_machine
from mms_ocr.utils.errors import run_program

CONFIGS = Path(__file__).resolve().parents[2] / "configs/textrecog/swap_in"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
PIPELINE = [
    dict(type="mms_ocr.ResizeWordImage", size=(32, 128), interpolation="bicubic"),
    dict(type="mms_ocr.PackLabelledWord"),
]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="labelled words: JSON lines or an LMDB")
    parser.add_argument("--families", nargs="+", help="which configs (default: all)")
    parser.add_argument("--words", type=int, default=64)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument(
        "--shallow", action="store_true", help="two layers of encoder, one of everything else"
    )
    parser.add_argument("--traceback", action="store_true")
    return parser.parse_args(argv)


def make_shallow(model: Config) -> None:
    """Let a recognizer have few layers; widths stay."""
    from mmocr.registry import MODELS as MMOCR_MODELS  # importable once mms_ocr is

    model.backbone.arch = dict(TextViT.arch_zoo[model.backbone.arch], num_layers=2)
    parts = [model.get("encoder"), model.decoder, model.decoder.get("language_decoder")]
    for part in filter(None, parts):
        if "n_layers" in inspect.signature(MMOCR_MODELS.get(part.type)).parameters:
            part.n_layers = 1


def try_config(path: Path, batches: list, args: argparse.Namespace) -> dict:
    """Train and read; losses, words read, and seconds."""
    config = Config.fromfile(path)
    init_default_scope(config.default_scope)
    if args.shallow:
        make_shallow(config.model)
    config.model.backbone.drop_path_rate = 0.0
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    model.init_weights()
    model.to(DEVICE)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
    start, losses = time.perf_counter(), []
    for step in range(args.steps):
        data = model.data_preprocessor(batches[step % len(batches)], training=True)
        loss, _ = model.parse_losses(model(**data, mode="loss"))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    right = 0
    with torch.no_grad():
        for batch in batches:
            for sample in model.test_step(batch):
                right += sample.pred_text.item.lower() == sample.gt_text.item.lower()
    return dict(
        family=path.stem,
        first=losses[0],
        last=losses[-1],
        right=right,
        parameters=sum(p.numel() for p in model.parameters()) / 1e6,
        seconds=time.perf_counter() - start,
    )


def compare(args: argparse.Namespace) -> None:
    paths = sorted(CONFIGS.glob("[!_]*.py"))
    if args.families:
        unknown = set(args.families) - {path.stem for path in paths}
        if unknown:
            raise ValueError(f"no config {', '.join(sorted(unknown))} in {CONFIGS}")
        paths = [path for path in paths if path.stem in args.families]
    dataset = DATASETS.build(
        dict(type="mms_ocr.WordImageDataset", path=args.data, labelled=True, pipeline=PIPELINE)
    )
    # All of these recognizers write at least 23 characters; half of them know no symbols.
    words = (dataset[index] for index in range(len(dataset)))
    chosen = []
    for word in words:
        text = word["data_samples"].gt_text.item
        if text.isalnum() and text.isascii() and len(text) < 16:
            chosen.append(word)
        if len(chosen) == args.words:
            break
    batches = [pseudo_collate(chosen[i : i + 32]) for i in range(0, len(chosen), 32)]
    print(f"{describe_machine(DEVICE)}")
    print(f"{len(chosen)} words, {args.steps} steps, learning rate {args.lr}")
    print("\n| config | parameters, M | loss, first → last step | words read | s |")
    print("| --- | ---: | --- | ---: | ---: |")
    for path in paths:
        row = try_config(path, batches, args)
        print(
            f"| `{row['family']}` | {row['parameters']:.1f} | {row['first']:.2f} → "
            f"{row['last']:.2f} | {row['right']} of {len(chosen)} | {row['seconds']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(run_program("tests/acceptance/swap_in.py", parse_args, compare))
