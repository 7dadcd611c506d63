"""Compare ways of pretraining at equal cost of the encoder, by masked error and by a linear probe.

Every variant trains a shallow ViT (192 wide) on the same images with the same number of masked
views. tools/analysis_tools/probe_characters.py then classifies characters of held-out real words by
a linear classifier on its frozen features. Joint variants see three views of an image at once, and
so a third of the images in a batch. Finished trainings are not repeated.
"""

import argparse
import re
from pathlib import Path

from runs import ROOT, call, train, validations

ERRORS = [f"masked_error/{name}" for name in ("random_patch", "blockwise", "span")]
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
model.setdefault('data_preprocessor', {{}}).setdefault('mask_generator', {{}})['ratio'] = 0.75
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
randomness = dict(seed={seed})
"""


def parse_args() -> argparse.Namespace:
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


def train_variant(name: str, args: argparse.Namespace) -> tuple[Path, float]:
    """Train a variant; its last checkpoint and the seconds of its training."""
    change, views_per_image = VARIANTS[name]
    config = CONFIG.format(
        base=str(ROOT / "configs/mms/pretrain_vit_s_words.py"),
        change=change,
        depth=args.depth,
        batch=args.views // views_per_image,
        data=[str(Path(path).resolve()) for path in args.data],
        seed=args.seed,
    )
    return train(config, Path(args.work_dir, re.sub(r"\W+", "_", name)), args.iterations)


def probe(checkpoints: list[Path], args: argparse.Namespace) -> list[str]:
    """Accuracies of the probe on the last layer, %: of the untrained encoder, then of each."""
    output = call(
        *("tools/analysis_tools/probe_characters.py", Path(args.probe).resolve(), *checkpoints),
        *("--arch", f"192,{args.depth},3", "--layers", args.depth - 1, "--random"),
        log=Path(args.work_dir, "probe.txt"),
    )
    rows = [line for line in output.splitlines() if line.startswith("| ")][1:]
    return [row.split("|")[2].strip() for row in rows if "---" not in row]


def main() -> None:
    args = parse_args()
    checkpoints, seconds = [], []
    for name in args.variants:
        checkpoint, duration = train_variant(name, args)
        checkpoints.append(checkpoint)
        seconds.append(duration)
        print(f"{name}: {duration:.0f} s", flush=True)
    untrained, *accuracies = probe(checkpoints, args)
    print(f"\n{args.iterations} iterations of {args.views} views, {args.depth} layers, ", end="")
    print(f"seed {args.seed}; probe of the untrained encoder: {untrained} %\n")
    print("| variant | probe, % | error: random patch | blockwise | span | s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, checkpoint, accuracy, duration in zip(
        args.variants, checkpoints, accuracies, seconds
    ):
        last = validations(checkpoint.parent, ERRORS[0])[-1]
        errors = " | ".join(f"{last[key]:.3f}" for key in ERRORS)
        print(f"| {name} | {accuracy} | {errors} | {duration:.0f} |")


if __name__ == "__main__":
    main()
