"""Compare ways of pretraining at equal cost of the encoder, by masked error and by a linear probe.

Every variant trains a shallow ViT (192 wide) on the same images with the same number of masked
views, and is then judged by tools/analysis_tools/probe_characters.py: how well a linear classifier
tells characters of held-out real words apart from its frozen features. Joint variants see three
views of an image at once, and so a third of the images in a batch. Runs that are there already are
not repeated.
"""

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MASKS = "model=dict(data_preprocessor=dict(mask_generator=dict({})))"
SELF = (
    "model=dict(neck=dict(_delete_=True, type='mms_ocr.SelfAttentionDecoder', "
    "decoder_embed_dim={}, decoder_depth={}, decoder_num_heads={}))"
)
CROSS = "model=dict(neck=dict(predict_share={}))"
VARIANTS = {
    "self-attention decoder 128/4/4": (SELF.format(128, 4, 4), 1),
    "cross-attention decoder, all patches": (CROSS.format(1.0), 1),
    "cross-attention decoder, half of the patches": (CROSS.format(0.5), 1),
    "random patch only": (MASKS.format("weights=[1, 0, 0]"), 1),
    "blockwise only": (MASKS.format("weights=[0, 1, 0]"), 1),
    "span only": (MASKS.format("weights=[0, 0, 1]"), 1),
    "joint": (MASKS.format("mode='joint'"), 3),
    "joint, contrastive": (
        "model=dict(contrast=dict(type='mms_ocr.ViewContrast'), "
        "data_preprocessor=dict(mask_generator=dict(mode='joint')))",
        3,
    ),
}
CONFIG = """_base_ = [{base!r}]
{change}
model['backbone'] = dict(
    _delete_=True, type='mms_ocr.TextViT', img_size=(32, 128), patch_size=4, arch=dict(
        embed_dims=192, num_layers={depth}, num_heads=3, feedforward_channels=768))
train_dataloader = dict(
    batch_size={batch}, num_workers=1, dataset=dict(path={data!r}, holdout=dict(share=0.1)))
val_dataloader = dict(
    batch_size=64, num_workers=1,
    dataset=dict(path={data!r}, holdout=dict(share=0.1), indices=256))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=1e-3))
auto_scale_lr = dict(enable=False)
"""


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", required=True, help="word images to pretrain on")
    parser.add_argument("--probe", required=True, help="JSON lines with char_boxes to probe with")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--views", type=int, default=60, help="masked views a batch")
    parser.add_argument("--depth", type=int, default=6, help="layers of the encoder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work-dir", default="work_dirs/study")
    return parser.parse_args()


def train(name: str, args: argparse.Namespace) -> tuple[Path, float]:
    """Train a variant; returns its folder and the seconds that it took, 0 if it was there."""
    change, views_per_image = VARIANTS[name]
    folder = Path(args.work_dir, re.sub(r"\W+", "_", name)).resolve()
    if (folder / f"iter_{args.iterations}.pth").exists():
        return folder, 0.0
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "study.py"
    config.write_text(
        CONFIG.format(
            base=str(ROOT / "configs/mms/pretrain_vit_s_words.py"),
            change=change,
            depth=args.depth,
            batch=args.views // views_per_image,
            data=[str(Path(path).resolve()) for path in args.data],
        )
    )
    start = time.time()
    with open(folder / "output.txt", "w") as output:
        subprocess.run(
            [
                *(sys.executable, "tools/train.py", str(config), "--work-dir", str(folder)),
                *("--iterations", str(args.iterations), "--cfg-options"),
                *(f"train_cfg.val_interval={args.iterations}", f"randomness.seed={args.seed}"),
                f"default_hooks.checkpoint.interval={args.iterations}",
            ],
            check=True,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    return folder, time.time() - start


def masked_errors(folder: Path) -> list[str]:
    """Last masked errors in a run's log: random patch, blockwise, span."""
    text = max(folder.glob("*/*.log"), key=lambda path: path.stat().st_mtime).read_text()
    return [
        re.findall(rf"masked_error/{name}: ([\d.]+)", text)[-1]
        for name in ("random_patch", "blockwise", "span")
    ]


def probe(checkpoints: list[str], args: argparse.Namespace) -> list[str]:
    """Accuracies of the probe on the last layer, %: of the untrained encoder, then of each."""
    command = [
        *(sys.executable, "tools/analysis_tools/probe_characters.py", args.probe, *checkpoints),
        *("--arch", f"192,{args.depth},3", "--layers", str(args.depth - 1), "--random"),
    ]
    output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    rows = [line for line in output.splitlines() if line.startswith("| ")][1:]
    return [row.split("|")[2].strip() for row in rows if "---" not in row]


def main() -> None:
    args = parse_args()
    folders, seconds = [], []
    for name in args.variants:
        folder, took = train(name, args)
        folders.append(folder)
        seconds.append(took)
        print(f"{name}: {took:.0f} s", flush=True)
    checkpoints = [str(folder / f"iter_{args.iterations}.pth") for folder in folders]
    untrained, *accuracies = probe(checkpoints, args)
    print(f"\n{args.iterations} iterations of {args.views} views, {args.depth} layers, ", end="")
    print(f"seed {args.seed}; probe of the untrained encoder: {untrained} %\n")
    print("| variant | probe, % | error: random patch | blockwise | span | s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, folder, accuracy, took in zip(args.variants, folders, accuracies, seconds):
        print(f"| {name} | {accuracy} | {' | '.join(masked_errors(folder))} | {took:.0f} |")


if __name__ == "__main__":
    main()
