r"""How well words can be read off encoders that are not trained any further.

The maps of all words are made once, with each encoder frozen. Then a small CTC reader learns on
those of the training words: the rows of a column become one vector, a linear layer and one
convolution over five columns follow. No augmentation, the last weights, word accuracy of letters
and digits, any case. Little enough for a processor.

    OMP_NUM_THREADS=1 python tools/benchmarks/study_frozen_reading.py \
        --train iiit5k/train.jsonl icdar2015/train.jsonl --test iiit5k/test.jsonl \
        --encoders none MMS=mms.pth --arch tiny
"""

import argparse
import logging
import string
import time
from itertools import groupby
from pathlib import Path

import torch
from machine import describe_machine
from torch import Tensor, nn
from torch.nn import functional

import mms_ocr.registry  # noqa: F401
from mms_ocr.datasets import WordImageDataset
from mms_ocr.datasets.transforms import ResizeWordImage
from mms_ocr.evaluation.benchmark_table import markdown_table
from mms_ocr.registry import MODELS

ALPHABET = string.digits + string.ascii_lowercase


class Reader(nn.Module):
    """Log-probabilities of the blank and the characters in every column of a map."""

    def __init__(self, channels: int, rows: int, width: int = 256) -> None:
        super().__init__()
        self.columns = nn.Linear(channels * rows, width)
        self.neighbours = nn.Conv1d(width, width, 5, padding=2)
        self.classes = nn.Linear(width, 1 + len(ALPHABET))

    def forward(self, maps: Tensor) -> Tensor:
        """From ``(N, C, H, W)`` to ``(N, W, classes)``."""
        hidden = functional.gelu(self.columns(maps.flatten(1, 2).transpose(1, 2)))
        hidden = functional.gelu(self.neighbours(hidden.transpose(1, 2))).transpose(1, 2)
        return self.classes(hidden).float().log_softmax(dim=-1)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", nargs="+", required=True, help="labelled words")
    parser.add_argument("--test", nargs="+", required=True, help="labelled words")
    parser.add_argument("--encoders", nargs="+", required=True, help="none, or NAME=CHECKPOINT")
    parser.add_argument("--arch", default="tiny")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--words", type=int, help="only the first so many of each set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", help="folder to keep the maps in")
    return parser.parse_args()


def read_words(paths: list[str], count: int | None) -> tuple[Tensor, list[str]]:
    """Images ``(N, 3, 32, 128)``, uint8 RGB, and labels; what has nothing to read is left out."""
    words = WordImageDataset(paths, labelled=True, indices=count)
    resize = ResizeWordImage(size=(32, 128), interpolation="bicubic")
    images, labels = [], []
    for index in range(len(words)):
        word = words[index]
        label = "".join(c for c in word["text"].lower() if c in ALPHABET)
        if not label or len(label) > 16:
            continue
        image = torch.from_numpy(resize(dict(img=word["img"]))["img"])
        images.append(image.flip(-1).permute(2, 0, 1))
        labels.append(label)
    return torch.stack(images), labels


@torch.no_grad()
def make_maps(encoder: torch.nn.Module, images: Tensor, device: str) -> Tensor:
    """Maps ``(N, C, 8, 32)`` in half precision."""
    maps = []
    for batch in images.split(64):
        with torch.autocast(device, torch.bfloat16):
            values = encoder((batch.to(device).float() - 127.5) / 127.5)
        maps.append(values.half().cpu())
    return torch.cat(maps)


def train_reader(maps: Tensor, labels: list[str], args: argparse.Namespace, device: str) -> Reader:
    """A reader of these maps and labels."""
    torch.manual_seed(args.seed)
    reader = Reader(*maps.shape[1:3]).to(device).train()
    steps = args.epochs * (len(maps) // args.batch_size)
    optimizer = torch.optim.AdamW(reader.parameters(), lr=args.lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, steps, pct_start=0.1)
    codes = [torch.tensor([1 + ALPHABET.index(c) for c in label]) for label in labels]
    columns = torch.full((args.batch_size,), maps.shape[3])
    for _ in range(args.epochs):
        for chosen in torch.randperm(len(maps)).split(args.batch_size):
            if len(chosen) < args.batch_size:
                continue
            targets = [codes[index] for index in chosen.tolist()]
            lengths = torch.tensor([len(target) for target in targets])
            with torch.autocast(device, torch.bfloat16):
                logs = reader(maps[chosen].to(device).float())
            loss = functional.ctc_loss(
                logs.transpose(0, 1), torch.cat(targets), columns, lengths, zero_infinity=True
            )
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(reader.parameters(), 5.0)
            optimizer.step()
            schedule.step()
    return reader.eval()


@torch.no_grad()
def share_read(reader: Reader, maps: Tensor, labels: list[str], device: str) -> float:
    """Share of the words whose most probable path spells the label."""
    right = 0
    for part, truth in zip(maps.split(256), batched(labels, 256)):
        paths = reader(part.to(device).float()).argmax(dim=-1).tolist()
        for path, label in zip(paths, truth):
            merged = [code for code, _ in groupby(path) if code]
            right += "".join(ALPHABET[code - 1] for code in merged) == label
    return right / len(maps)


def batched(values: list[str], size: int) -> list[list[str]]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def main() -> None:
    args = parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    logging.disable(logging.INFO)  # a line for every weight
    train, test = read_words(args.train, args.words), read_words(args.test, args.words)
    rows = []
    for entry in args.encoders:
        name, _, path = entry.partition("=")
        torch.manual_seed(args.seed)
        init = dict(type="mms_ocr.PretrainedTextViT", checkpoint=path) if path else None
        encoder = MODELS.build(
            dict(type="mms_ocr.TextViT", arch=args.arch, img_size=(32, 128), patch_size=4,
                 out_type="map", init_cfg=init)
        )  # fmt: skip
        encoder.init_weights()
        encoder.to(device).eval()
        kept = Path(args.cache, f"{name}.pth") if args.cache else None
        start = time.time()
        if kept is not None and kept.exists():
            maps = torch.load(kept, weights_only=True)
        else:
            maps = [make_maps(encoder, images, device) for images, _ in (train, test)]
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                torch.save(maps, kept)
        print(f"{name}: maps after {time.time() - start:.0f} s", flush=True)
        reader = train_reader(maps[0], train[1], args, device)
        share = share_read(reader, maps[1], test[1], device)
        rows.append([name, f"{100 * share:.1f}"])
        print(f"{name}: {rows[-1][1]} after {time.time() - start:.0f} s", flush=True)

    print(f"\n{describe_machine(device)}")
    print(
        f"{len(train[1]):,} training words, {len(test[1]):,} test words, {args.epochs} passes, "
        f"batches of {args.batch_size}, learning rate {args.lr:g}, seed {args.seed}\n"
    )
    print(markdown_table([["frozen encoder", "test words read, %"], *rows]))


if __name__ == "__main__":
    main()
