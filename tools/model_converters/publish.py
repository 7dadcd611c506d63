"""Make a checkpoint fit to share: its weights, and nothing else.

    python tools/model_converters/publish.py work_dirs/pretrain_vit_s/iter_80000.pth vit_s.pth
    python tools/model_converters/publish.py work_dirs/reader/iter_9.pth reader.safetensors --half

A name that ends in .safetensors gives that format. Optimizer, schedules, logs and the config are
left out, and so is a head that is for training alone (``auxiliary`` of ``TextDecoder``); ``--part
encoder`` writes the encoder alone. The grid of the positions, the characters of a decoder and the
name of the config are kept.
"""

import argparse
import hashlib
import sys
from pathlib import Path

import mms_ocr  # noqa: F401  (before MMPretrain is imported)
from mms_ocr.models.weights import (
    auxiliary_names,
    find_encoder,
    read_checkpoint,
    read_state_dict,
    write_checkpoint,
)
from mms_ocr.utils.errors import run_program
from mms_ocr.utils.output_checks import check_outputs


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", help="checkpoint of a run")
    parser.add_argument("target", help="checkpoint to write")
    parser.add_argument(
        "--part", choices=("all", "encoder"), default="all", help="what to keep (default: all)"
    )
    parser.add_argument("--half", action="store_true", help="store fp16, half the bytes")
    parser.add_argument("--traceback", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def publish(args: argparse.Namespace) -> None:
    """Publish as the options say.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is none of weights, or holds no encoder where one was asked for.
    """
    source, target = Path(args.source), Path(args.target)
    target.parent.mkdir(parents=True, exist_ok=True)
    check_outputs([target], [source])
    weights = read_state_dict(source)
    checkpoint = read_checkpoint(source)
    others = sorted(checkpoint.keys() - {"state_dict"})
    meta = {"part": args.part}
    run = (checkpoint.get("meta") or {}).get("experiment_name")
    if args.part == "all" and isinstance(run, str):
        meta["experiment_name"] = run
    if args.part == "encoder":
        encoder = find_encoder(weights, args.source)
        weights = encoder.weights
        if encoder.left_out:
            others.append(f"{len(encoder.left_out)} weights that are not of the encoder")
    elif helpers := auxiliary_names(weights):
        for key in helpers:
            del weights[key]
        others.append(f"{len(helpers)} weights of a head that only helps to train")
    write_checkpoint(target, weights, meta, half=args.half)
    megabytes = [path.stat().st_size / 1e6 for path in (source, target)]
    print(
        f"wrote {len(weights)} weights to {target}: {megabytes[0]:.1f} MB before, "
        f"{megabytes[1]:.1f} MB now; left out {', '.join(others) or 'nothing'}"
    )
    print(f"sha256 {hashlib.sha256(target.read_bytes()).hexdigest()}")


def main(argv: list[str] | None = None) -> int:
    return run_program("publish.py", lambda: parse_args(argv), publish)


if __name__ == "__main__":
    sys.exit(main())
