"""``tools/test.py``: evaluate a checkpoint."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from mmengine.config import Config
from mmengine.dist import is_main_process

from mms_ocr.apis.bundled_configs import find_config
from mms_ocr.apis.trained_models import RECOGNITION, SUPER_RESOLUTION
from mms_ocr.cli import benchmarking
from mms_ocr.cli.data_option import check_data, datasets_of, set_data
from mms_ocr.cli.joining import leave_together
from mms_ocr.cli.launching import add_shared_options, build_runner, fit_to_machine, read_config
from mms_ocr.engine.loops import end_workers
from mms_ocr.evaluation.restored_images import restored_notes, restored_table
from mms_ocr.models.weights import load_model
from mms_ocr.registry import type_name
from mms_ocr.utils.bundled import SCHEME, name_checkpoint
from mms_ocr.utils.errors import run_program


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the options of ``tools/test.py``."""
    parser = argparse.ArgumentParser(description="Evaluate a checkpoint.")
    add_shared_options(parser)
    parser.add_argument("checkpoint", help="checkpoint or bundled weights to evaluate")
    benchmarking.add_benchmark_options(parser)
    group = parser.add_argument_group("word accuracy, for super-resolution")
    group.add_argument(
        "--recognizer", nargs=2, metavar=("CONFIG", "WEIGHTS"),
        help="accuracy of this recognizer on the enlarged, restored and true images; needs labels"
    )  # fmt: skip
    return parser.parse_args(argv)


def test(args: argparse.Namespace) -> None:
    """Evaluate, and print a table of what was measured.

    Raises:
        FileNotFoundError: The config, the data or the checkpoint is missing.
        ValueError: A setting cannot be used, or the checkpoint does not fit the model.
    """
    cfg = read_config(argparse.Namespace(**{**vars(args), "data": None}))
    if not cfg.get("model"):
        raise ValueError(
            f"{args.config} describes no model: give a model's config, and test sets by --benchmark"
        )
    benchmark = benchmarking.uses_benchmark(cfg, args)
    if benchmark:
        benchmarking.set_benchmark(cfg, args)
        benchmarking.check_reports(cfg, args)
    elif args.data:
        set_data(cfg, args.data, ("test",))
    if args.recognizer:
        add_recognizer(cfg, *args.recognizer)
    if not cfg.get("test_dataloader"):
        raise ValueError(f"{args.config} has no test_dataloader: it describes no test")
    if not benchmark:
        check_data(cfg, ("test",))
    # Again, for the parts that were replaced since.
    cfg.merge_from_dict(args.cfg_options or {})
    fit_to_machine(cfg)
    checkpoint = name_checkpoint(args.checkpoint)
    if not checkpoint.startswith(SCHEME) and not os.path.isfile(checkpoint):
        raise FileNotFoundError(f"no checkpoint {checkpoint}")
    cfg.resume, cfg.load_from = False, None  # they concern training
    runner = build_runner(cfg)
    load_model(runner.model, checkpoint)
    try:
        metrics = runner.test()
    finally:
        end_workers(runner._test_loop)
    if benchmark and is_main_process():
        print(benchmarking.report_benchmark(runner, args))
    elif is_main_process() and (table := restored_table(metrics)):
        print("\n".join([table, *restored_notes(metrics)]))
    leave_together()


def add_recognizer(cfg: Config, config: str, weights: str) -> None:
    """Add the accuracy of a recognizer, of ``config`` and ``weights``, to a test's metrics.

    Raises:
        ValueError: The config is not of super-resolution.
    """
    model = cfg.get("model") or {}
    if type_name(model) != SUPER_RESOLUTION.model:
        raise ValueError(
            f"--recognizer reads what super-resolution restored, and the model of {cfg.filename} "
            f"is {model.get('type')}"
        )
    for _, dataset in datasets_of(cfg, "test"):
        if type_name(dataset) != "RenderedWordDataset":  # which always has labels
            dataset["labelled"] = True
    path = str(find_config(config, RECOGNITION.folder))
    recognizer = dict(config=path, weights=name_checkpoint(weights))
    evaluator = cfg.get("test_evaluator") or []
    metrics = list(evaluator) if isinstance(evaluator, Sequence) else [evaluator]
    reading = dict(type="mms_ocr.RestoredWordAccuracy", recognizer=recognizer)
    cfg.test_evaluator = [*metrics, reading]


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate and return the exit status."""
    return run_program("test.py", lambda: parse_args(argv), test)
