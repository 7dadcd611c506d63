r"""Train a CTC head on the maps of frozen encoders, and read test sets with it.

The encoder of a CTC recognizer (configs/textrecog/mms_vit_*_ctc_words.py) is frozen. It maps every
training word once, and the head trains on the stored maps, so that a CPU can do many passes. Words
of the training files, a tenth of which is held out, are shuffled with rendered ones, which have
boxes of their characters. The last weights are a checkpoint of the config, which `tools/test.py`
measures.

    python projects/studies/frozen_reading.py \
        --train iiit5k/train.jsonl icdar2015/train.jsonl --rendered FONTS WORDS \
        --test iiit5k=iiit5k/test.jsonl --encoders none MMS=work_dirs/mms/iter_80000.pth
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from recognition import HELD_OUT
from runs import PROTOCOLS, ROOT, pretrained, split_name, test_words
from torch import Tensor

from mms_ocr.evaluation.benchmark_scores import markdown_table
from mms_ocr.registry import DATASETS, MODELS
from mms_ocr.utils.devices import describe_machine

Words = tuple[Tensor, list[Any]]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", nargs="+", required=True, help="labelled words to train on")
    parser.add_argument("--test", nargs="+", default=[], help="test sets: NAME=PATH")
    parser.add_argument("--rendered", nargs=2, required=True, metavar=("FONTS", "WORDS"))
    parser.add_argument("--num-rendered", type=int, default=6000, help="rendered words (6000)")
    parser.add_argument(
        "--encoders", nargs="+", default=["none"], help="NAME=CHECKPOINT, or none for random ones"
    )
    parser.add_argument("--arch", choices=("t", "s", "b"), default="t")
    parser.add_argument("--epochs", type=int, default=20, help="passes over all words (20)")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work-dir", default="work_dirs/frozen_reading")
    return parser.parse_args(argv)


def study_config(encoder: str, args: argparse.Namespace) -> Config:
    """Build the config of a variant with a frozen encoder."""
    cfg = Config.fromfile(ROOT / f"configs/textrecog/mms_vit_{args.arch}_ctc_words.py")
    cfg.model.backbone.frozen_stages = 12
    cfg.model.backbone.init_cfg = pretrained(encoder)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.path = [str(Path(path).resolve()) for path in args.train]
        loader.num_workers, loader.persistent_workers = 0, False
    return cfg


def map_words(model: Any, data_set: Any, batch_size: int = 64) -> Words:
    """Maps of all words of a data set, in half precision, and their samples."""
    maps, samples = [], []
    for start in range(0, len(data_set), batch_size):
        batch = [data_set[i] for i in range(start, min(start + batch_size, len(data_set)))]
        packed = {key: [word[key] for word in batch] for key in ("inputs", "data_samples")}
        data = model.data_preprocessor(packed)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            maps.append(model.extract_feat(data["inputs"]).half())
        samples += data["data_samples"]
    return torch.cat(maps), samples


def train_head(decoder: Any, words: Words, args: argparse.Namespace) -> None:
    """Train the head on stored maps."""
    maps, samples = words
    steps = args.epochs * (len(samples) // args.batch_size)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=args.lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, steps, pct_start=0.1)
    rng = random.Random(args.seed)
    decoder.train()
    order: list[int] = []
    for step in range(steps):
        if len(order) < args.batch_size:
            order = rng.sample(range(len(samples)), len(samples))
        batch, order = order[: args.batch_size], order[args.batch_size :]
        losses = decoder.loss(maps[batch].float(), None, [samples[i] for i in batch])
        optimizer.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % max(1, steps // 10) == 0:
            shown = ", ".join(f"{name} {loss.item():.3f}" for name, loss in losses.items())
            print(f"step {step + 1} of {steps}: {shown}", flush=True)


def held_out(model: Any, words: Words, cfg: Config) -> dict[str, float]:
    """Measure the word accuracy of the head on held-out words, by protocol."""
    evaluator = Evaluator(cfg.val_evaluator)
    maps, samples = words
    model.decoder.eval()
    with torch.inference_mode():
        for start in range(0, len(samples), 256):
            read = model.decoder.predict(
                maps[start : start + 256].float(), None, samples[start : start + 256]
            )
            evaluator.process(read)
    scores = evaluator.evaluate(len(samples))
    return {protocol: float(scores[f"recog/{protocol}"]) for protocol in PROTOCOLS}


def measure(encoder: str, args: argparse.Namespace) -> list[str]:
    """Train the head on an encoder's maps, and test: its row of the table."""
    name = split_name(encoder)[0]
    folder = Path(args.work_dir, f"{args.arch}_{name}").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "frozen.pth"
    cfg = study_config(encoder, args)
    if not checkpoint.exists():
        start = time.time()
        cfg.dump(str(folder / "study.py"))
        init_default_scope("mmocr")
        torch.manual_seed(args.seed)
        model = MODELS.build(cfg.model)
        model.init_weights()
        model.eval()
        plain = cfg.val_dataloader.dataset.pipeline
        cfg.train_dataloader.dataset.pipeline = plain
        fonts, lexicon = (str(Path(path).resolve()) for path in args.rendered)
        rendered = DATASETS.build(
            dict(
                type="mms_ocr.RenderedWordDataset",
                num_samples=args.num_rendered,
                fonts=fonts,
                words=lexicon,
                extras=("char_boxes",),
                pipeline=plain,
            )
        )
        real = map_words(model, DATASETS.build(cfg.train_dataloader.dataset))
        rendered_maps = map_words(model, rendered)
        train_head(
            model.decoder,
            (torch.cat([real[0], rendered_maps[0]]), real[1] + rendered_maps[1]),
            args,
        )
        words = map_words(model, DATASETS.build(cfg.val_dataloader.dataset))
        accuracy = held_out(model, words, cfg) | {"seconds": time.time() - start}
        (folder / "held_out.json").write_text(json.dumps(accuracy))
        torch.save({"state_dict": model.state_dict()}, checkpoint)
    accuracy = json.loads((folder / "held_out.json").read_text())
    print(f"{name}: {HELD_OUT} {accuracy}", flush=True)
    scores = {HELD_OUT: accuracy} | (test_words(checkpoint, args.test) if args.test else {})
    cells = [f"{100 * score[key]:.1f}" for score in scores.values() for key in PROTOCOLS]
    return [name, *cells, f"{accuracy['seconds']:.0f}"]


def main() -> None:
    args = parse_args()
    rows = [measure(encoder, args) for encoder in args.encoders]
    print(f"\n{describe_machine('cpu')}")
    print(
        f"frozen encoder, CTC head: {args.epochs} passes over the real and {args.num_rendered:,} "
        f"rendered words, {args.batch_size} a step, learning rate {args.lr:g}, seed {args.seed}\n"
    )
    sets = [HELD_OUT, *(split_name(entry)[0] for entry in args.test)]
    columns = [f"{name}: {words}, %" for name in sets for words in PROTOCOLS.values()]
    print(markdown_table([["encoder", *columns, "s"], *rows]))


if __name__ == "__main__":
    main()
