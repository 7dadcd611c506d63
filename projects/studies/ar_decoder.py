r"""Compare autoregressive decoders: with a CTC head, on columns, with attention to known places.

Every variant trains an encoder from random weights on the same words in the same order, half of
them rendered, and reads the tenth of the real words that was held out, every fifth of the run.
Finished trainings are not repeated.

    python projects/studies/ar_decoder.py --train iiit5k/train.jsonl icdar2015/train.jsonl \
        --rendered words.lmdb --variants ctc ar2 ar2+ctc ar2+ctc+columns
"""

import argparse
import re
from pathlib import Path

from mmengine.config import Config
from runs import ROOT, train, validations

from mms_ocr.evaluation.benchmark_scores import markdown_table
from mms_ocr.utils.devices import describe_machine

WORDS, CHARACTERS = "recog/word_acc_ignore_case_symbol", "recog/char_recall"
STEPS = 5  # validations of a run
# As wide as nano, with a third of its computations.
SMALL = dict(embed_dims=128, num_layers=3, num_heads=4, feedforward_channels=512)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", nargs="+", required=True, help="labelled real words")
    parser.add_argument("--rendered", required=True, help="rendered words with character boxes")
    parser.add_argument(
        "--variants",
        nargs="+",
        required=True,
        help="ctc; or ar and the number of layers, as ar2, with +ctc for a CTC head beside it that "
        "knows where rendered characters are, or +plain for one that does not, then its "
        "weight, as ar2+ctc0.5; then +columns for a token of every column in place of every cell",
    )
    parser.add_argument(
        "--small",
        action="store_true",
        help="3 layers, 128 wide, of patches of 16x4 pixels in place of nano",
    )
    parser.add_argument("--iterations", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work-dir", default="work_dirs/ar_decoder_study")
    return parser.parse_args(argv)


def set_decoder(cfg: Config, variant: str, rows: int) -> None:
    """Set up the decoder of a variant for a map with ``rows`` rows.

    Raises:
        ValueError: It is no variant.
    """
    form = r"ar(\d+)(?:\+(ctc|plain)([\d.]+)?)?(\+columns)?"
    parts = re.fullmatch(form, variant)
    if parts is None:
        raise ValueError(f"--variants {variant}: not ctc, or arN with +ctc or +plain, +columns")
    layers, kind, weight, columns = parts.groups()
    cfg.model.decoder.update(
        n_layers=int(layers),
        auxiliary=None,
        columns=dict(num_rows=rows) if columns else None,
    )
    if kind:
        cfg.model.decoder.auxiliary = dict(
            type="mms_ocr.CTCDecoder",
            **(dict(pooling="mean") if columns else dict(pooling="conv", num_rows=rows)),
            module_loss=dict(type="mms_ocr.LocatedCTCLoss", location_weight=float(kind == "ctc")),
            loss_weight=float(weight or 1),
        )


def study_config(variant: str, args: argparse.Namespace) -> Config:
    """Build the config of a variant."""
    head = "ctc" if variant == "ctc" else "ar"
    cfg = Config.fromfile(ROOT / f"configs/textrecog/mms_vit_n_{head}_words.py")
    if args.small:
        cfg.model.backbone.update(arch=SMALL, patch_size=(16, 4))
    rows = 32 // cfg.model.backbone.patch_size[0]
    if head == "ctc":
        cfg.model.decoder.num_rows = rows
    else:
        set_decoder(cfg, variant, rows)
    paths = [str(Path(path).resolve()) for path in args.train]
    own = cfg.train_dataloader.dataset
    rendered = dict(
        type="mms_ocr.WordImageDataset",
        path=str(Path(args.rendered).resolve()),
        labelled=True,
        extras=("char_boxes",),
        pipeline=cfg.val_dataloader.dataset.pipeline,
    )
    cfg.train_dataloader.dataset = dict(
        type="mms_ocr.MixedDataset", datasets=[rendered, own], weights=[1, 1]
    )
    for dataset in (own, cfg.val_dataloader.dataset, cfg.test_dataloader.dataset):
        dataset.path = paths
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
    cfg.train_dataloader.batch_size = args.batch_size
    cfg.optim_wrapper.optimizer.lr = args.lr
    cfg.randomness = dict(seed=args.seed)
    return cfg


def measure(variant: str, args: argparse.Namespace) -> list[str]:
    """Train a variant; return the word accuracies of its validations and its character recall."""
    name = f"{'small' if args.small else 'nano'}_{variant}_{args.seed}"
    folder = Path(args.work_dir, name)
    train(study_config(variant, args), folder, args.iterations, STEPS)
    lines = validations(folder, WORDS)
    shares = [*(line[WORDS] for line in lines), lines[-1][CHARACTERS]]
    return [f"{100 * share:.1f}" for share in shares]


def main() -> None:
    args = parse_args()
    rows = []
    for variant in args.variants:
        rows.append([variant, *measure(variant, args)])
        print(" ".join(rows[-1]), flush=True)
    words = args.iterations * args.batch_size
    print(f"\n{describe_machine('cpu')}")
    encoder = "small encoder" if args.small else "nano"
    print(
        f"{encoder}, {words:,} words in batches of {args.batch_size}, learning rate "
        f"{args.lr:g}, seed {args.seed}\n"
    )
    seen = [f"{words * step // STEPS:,}" for step in range(1, STEPS + 1)]
    print(markdown_table([["decoder", *seen, "characters"], *rows]))


if __name__ == "__main__":
    main()
