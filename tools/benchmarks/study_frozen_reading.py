r"""How well words can be read off encoders that are not trained any further.

The maps of all words are made once, with each encoder frozen. Then a CTC reader learns on those of
the training words: `linear` is `mms_ocr.CTCDecoder`, one linear layer on every column; `lstm` is
MMOCR's `CRNNDecoder`, two bidirectional LSTM layers on the mean of the rows. No augmentation, the
last weights, word accuracy of letters and digits, any case. Little enough for a processor.

    OMP_NUM_THREADS=1 python tools/benchmarks/study_frozen_reading.py \
        --train iiit5k/train.jsonl icdar2015/train.jsonl --test iiit5k/test.jsonl \
        --encoders none MMS=mms.pth --arch tiny
"""

import argparse
import time
from pathlib import Path

import torch
from machine import describe_machine
from mmengine.structures import LabelData
from torch import Tensor

import mms_ocr.registry  # noqa: F401  (before MMOCR, which it lets import)
from mms_ocr.datasets import WordImageDataset
from mms_ocr.datasets.transforms import ResizeWordImage
from mms_ocr.evaluation.benchmark_table import markdown_table
from mms_ocr.registry import MODELS

from mmocr.structures import TextRecogDataSample  # isort: skip

ROOT = Path(__file__).resolve().parents[2]
READERS = {
    "linear": dict(
        type="mms_ocr.CTCDecoder",
        pooling="attention",
        module_loss=dict(type="mmocr.CTCModuleLoss", letter_case="lower"),
        postprocessor=dict(type="mmocr.CTCPostProcessor"),
    ),
    "lstm": dict(
        type="mmocr.CRNNDecoder",
        rnn_flag=True,
        module_loss=dict(type="mmocr.CTCModuleLoss", letter_case="lower"),
        postprocessor=dict(type="mmocr.CTCPostProcessor"),
    ),
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", nargs="+", required=True, help="labelled words")
    parser.add_argument("--test", nargs="+", required=True, help="labelled words")
    parser.add_argument("--encoders", nargs="+", required=True, help="none, or NAME=CHECKPOINT")
    parser.add_argument("--arch", default="tiny")
    parser.add_argument("--readers", nargs="+", choices=READERS, default=list(READERS))
    parser.add_argument("--epochs", type=int, default=60)
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
        label = "".join(c for c in word["text"].lower() if c.isascii() and c.isalnum())
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


def samples_of(labels: list[str]) -> list[TextRecogDataSample]:
    samples = []
    for label in labels:
        sample = TextRecogDataSample()
        sample.gt_text = LabelData(item=label)
        sample.set_metainfo(dict(valid_ratio=1.0))
        samples.append(sample)
    return samples


def read_with(name: str, train: tuple, test: tuple, args: argparse.Namespace, device: str) -> float:
    """Train a reader on maps and labels; the share of test words that it reads."""
    torch.manual_seed(args.seed)
    maps, labels = train
    dictionary = dict(
        type="mmocr.Dictionary",
        dict_file=str(ROOT / "configs/dicts/printable_ascii.txt"),
        with_padding=True,
        with_unknown=True,
    )
    reader = MODELS.build(dict(READERS[name], in_channels=maps.shape[1], dictionary=dictionary))
    reader.to(device)

    def shown(values: Tensor) -> Tensor:
        values = values.to(device).float()
        return values.mean(dim=2, keepdim=True) if name == "lstm" else values

    steps = args.epochs * (len(maps) // args.batch_size)
    optimizer = torch.optim.AdamW(reader.parameters(), lr=args.lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, steps, pct_start=0.1)
    for step in range(steps):
        if step % (len(maps) // args.batch_size) == 0:
            order = torch.randperm(len(maps))
        place = step % (len(maps) // args.batch_size) * args.batch_size
        chosen = order[place : place + args.batch_size]
        reader.train()
        samples = samples_of([labels[index] for index in chosen.tolist()])
        losses = reader.loss(shown(maps[chosen]), None, samples)
        loss = sum(losses.values())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(reader.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    reader.eval()
    right = 0
    for start in range(0, len(test[0]), 256):
        part = slice(start, start + 256)
        with torch.no_grad():
            found = reader.predict(shown(test[0][part]), None, samples_of(test[1][part]))
        read = ["".join(c for c in one.pred_text.item.lower() if c.isalnum()) for one in found]
        right += sum(a == b for a, b in zip(read, test[1][part]))
    return right / len(test[0])


def main() -> None:
    args = parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
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
        row = [name]
        for reader in args.readers:
            share = read_with(reader, (maps[0], train[1]), (maps[1], test[1]), args, device)
            row.append(f"{100 * share:.1f}")
            print(f"{name}, {reader}: {row[-1]} after {time.time() - start:.0f} s", flush=True)
        rows.append(row)
    print(f"\n{describe_machine(device)}")
    print(
        f"{len(train[1]):,} training words, {len(test[1]):,} test words, {args.epochs} passes, "
        f"batches of {args.batch_size}, learning rate {args.lr:g}, seed {args.seed}\n"
    )
    print(markdown_table([["frozen encoder", *(f"{one}, %" for one in args.readers)], *rows]))


if __name__ == "__main__":
    main()
