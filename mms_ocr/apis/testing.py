"""``tools/test.py``: evaluate a checkpoint."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from mms_ocr.apis.errors import run_command
from mms_ocr.apis.launching import add_shared_options, build_runner, read_config
from mms_ocr.models.weights import load_model

__all__ = ["main"]


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Options of ``tools/test.py``."""
    parser = argparse.ArgumentParser(description="Evaluate a checkpoint.")
    add_shared_options(parser)
    parser.add_argument("checkpoint", help="checkpoint to evaluate")
    return parser.parse_args(argv)


def test(args: argparse.Namespace) -> None:
    """Evaluate as the options say.

    Raises:
        FileNotFoundError: The config, the data or the checkpoint is missing.
        ValueError: A setting cannot be used, or the checkpoint does not fit the model.
    """
    cfg = read_config(args)
    if not os.path.isfile(args.checkpoint):
        raise FileNotFoundError(f"no checkpoint {args.checkpoint}")
    runner = build_runner(cfg)
    load_model(runner.model, args.checkpoint)
    runner.test()


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate; returns the exit status."""
    args = parse_args(argv)
    return run_command("test.py", lambda: test(args), traceback=args.traceback)
