"""Measure a frozen encoder by a linear probe of characters in real word images.

The features under every character's box are averaged over 4 × 3 cells, and a linear classifier over
36 classes (letters without case, digits) is fitted on them. The tenth of the images that
`holdout=dict(share=0.1)` excludes from pretraining is held out.
"""

import argparse
import sys
from pathlib import Path

import cv2
import torch

from mms_ocr.datasets.hashing import holdout_indices
from mms_ocr.evaluation.characters import Word, fit_linear_probe, pool_characters, read_characters
from mms_ocr.models import TextViT
from mms_ocr.models.weights import PretrainedTextViT
from mms_ocr.utils.decoding import decode_image
from mms_ocr.utils.errors import run_program

CLASSES = "0123456789abcdefghijklmnopqrstuvwxyz"


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("annotations", help="JSON lines with filename, text and char_boxes")
    parser.add_argument("checkpoints", nargs="*", help="checkpoints of encoders to compare")
    parser.add_argument(
        "--arch",
        default="tiny",
        help="tiny, small, base, or width,layers,heads such as 192,6,3 (default: %(default)s)",
    )
    parser.add_argument("--random", action="store_true", help="also an untrained encoder")
    parser.add_argument("--layers", type=int, nargs="+", default=[11], help="layers probed")
    parser.add_argument(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="such as cpu or cuda:0 (default: a GPU if there is one)",
    )
    parser.add_argument("--traceback", action="store_true", help="show the traceback of an error")
    return parser.parse_args()


def parse_arch(arch: str) -> str | dict[str, int]:
    """Parse the name of an architecture of TextViT, or its width, layers and heads."""
    if "," not in arch:
        return arch
    try:
        width, layers, heads = (int(part) for part in arch.split(","))
    except ValueError:
        raise ValueError(f"--arch must be a name or width,layers,heads, got {arch}") from None
    return {
        "embed_dims": width,
        "num_layers": layers,
        "num_heads": heads,
        "feedforward_channels": 4 * width,
    }


@torch.no_grad()
def character_features(
    encoder: TextViT, words: list[Word], device: str
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Compute features ``(N, C)`` of all characters with a class by layer, and classes ``(N,)``."""
    features: list[list[torch.Tensor]] = [[] for _ in encoder.out_indices]
    classes = []
    height, width = encoder.img_size
    for start in range(0, len(words), 64):
        batch = words[start : start + 64]
        images = [decode_image(Path(word.path).read_bytes())[:, :, ::-1] for word in batch]
        images = [cv2.resize(i, (width, height), interpolation=cv2.INTER_CUBIC) for i in images]
        pixels = torch.stack([torch.from_numpy(image) for image in images]).permute(0, 3, 1, 2)
        levels = encoder((pixels.float() / 127.5 - 1).to(device))
        for level, maps in zip(features, levels):
            for word, tokens in zip(batch, maps.cpu()):
                known = [i for i, c in enumerate(word.text.lower()) if c in CLASSES]
                level.append(pool_characters(tokens, word.patches)[known])
        for word in batch:
            classes.extend(CLASSES.index(c) for c in word.text.lower() if c in CLASSES)
    return [torch.cat(level) for level in features], torch.tensor(classes)


def probe(args: argparse.Namespace) -> None:
    if not args.checkpoints and not args.random:
        raise ValueError("nothing to probe: give checkpoints, or --random")
    sources = [*(["untrained"] if args.random else []), *args.checkpoints]
    arch = parse_arch(args.arch)
    grid = TextViT(arch=arch).grid
    words = read_characters(args.annotations, grid)
    words = [word if len(word.text) == len(word.patches) else None for word in words]
    parts = {
        part: [words[i] for i in holdout_indices(len(words), share=0.1, part=part) if words[i]]
        for part in ("train", "val")
    }
    print(
        f"{args.annotations}: {len(parts['train'])} images to fit on, {len(parts['val'])} held out;"
        " accuracy on held-out characters, %\n"
    )
    print("| encoder | " + " | ".join(f"layer {layer + 1}" for layer in args.layers) + " |")
    print("| --- |" + " ---: |" * len(args.layers))
    for source in sources:
        torch.manual_seed(0)
        encoder = TextViT(arch=arch, out_indices=args.layers).to(args.device).eval()
        if source != "untrained":
            PretrainedTextViT(source)(encoder)
        fitted = character_features(encoder, parts["train"], args.device)
        unseen = character_features(encoder, parts["val"], args.device)
        accuracies = [
            100 * fit_linear_probe((train, fitted[1]), (test, unseen[1]))
            for train, test in zip(fitted[0], unseen[0])
        ]
        print(f"| {source} | " + " | ".join(f"{value:.1f}" for value in accuracies) + " |")


if __name__ == "__main__":
    sys.exit(run_program("probe_characters.py", parse_args, probe))
