"""``tools/test.py``: evaluate a checkpoint."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from mms_ocr.apis.shipped_configs import find_config
from mms_ocr.apis.trained_models import RECOGNITION, SUPER_RESOLUTION
from mms_ocr.cli.benchmarking import (
    add_benchmark_options,
    check_reports,
    reads_words,
    set_benchmark,
    write_report,
    write_words,
)
from mms_ocr.cli.data_option import check_data, data_sets_of, set_data
from mms_ocr.cli.joining import leave_together
from mms_ocr.cli.launching import (
    add_shared_options,
    build_runner,
    fit_to_machine,
    read_config,
)
from mms_ocr.engine.loops import end_workers
from mms_ocr.evaluation.restored_table import restored_notes, restored_table
from mms_ocr.models.weights import load_model
from mms_ocr.registry import type_name
from mms_ocr.utils.bundled import SCHEME, name_checkpoint
from mms_ocr.utils.errors import run_program

_LISTED = 1000  # names of unreadable images in a report


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Options of ``tools/test.py``."""
    parser = argparse.ArgumentParser(description="Evaluate a checkpoint.")
    add_shared_options(parser)
    parser.add_argument("checkpoint", help="checkpoint or bundled weights to evaluate")
    add_benchmark_options(parser)
    group = parser.add_argument_group("word accuracy, for super-resolution")
    group.add_argument(
        "--recognizer",
        nargs=2,
        metavar=("CONFIG", "WEIGHTS"),
        help="what this recognizer reads in the enlarged, restored and true images; needs labels",
    )
    return parser.parse_args(argv)


def test(args: argparse.Namespace) -> None:
    """Evaluate as the options say.

    Raises:
        FileNotFoundError: The config, the data or the checkpoint is missing.
        ValueError: A setting cannot be used, or the checkpoint does not fit the model.
    """
    cfg = read_config(argparse.Namespace(**{**vars(args), "data": None}))
    if not cfg.get("model"):
        raise ValueError(
            f"{args.config} describes no model: give a model's config, and test sets by --benchmark"
        )
    options = args.benchmark or args.benchmark_root or args.sets or args.held_out or args.save_words
    counts_sets = bool(options or (args.data and reads_words(cfg)))
    if counts_sets:
        if not (args.benchmark or args.data):
            raise ValueError("no test sets are named: give --benchmark NAME, or --data PATH …")
        set_benchmark(cfg, args)
        check_reports(cfg, args)
    elif args.data:
        set_data(cfg, args.data, ("test",))
    if args.recognizer:
        read_restored(cfg, *args.recognizer)
    if not cfg.get("test_dataloader"):
        raise ValueError(f"{args.config} has no test_dataloader: it describes no test")
    if not counts_sets:
        check_data(cfg, ("test",))
    # Once more, for what was put in place since.
    cfg.merge_from_dict(args.cfg_options or {})
    fit_to_machine(cfg)
    checkpoint = name_checkpoint(args.checkpoint)
    if not checkpoint.startswith(SCHEME) and not os.path.isfile(checkpoint):
        raise FileNotFoundError(f"no checkpoint {checkpoint}")
    cfg.resume, cfg.load_from = False, None  # where training starts, in place of the checkpoint
    runner = build_runner(cfg)
    load_model(runner.model, checkpoint)
    try:
        metrics = runner.test()
    finally:
        # They outlive the signal that Python ends them with at exit (start_worker).
        end_workers(getattr(runner._test_loop, "dataloader", None))
    if counts_sets and is_main_process():
        print(_report(runner, args))
    elif is_main_process() and (table := restored_table(metrics)):
        print("\n".join([table, *restored_notes(metrics)]))
    leave_together()


def read_restored(cfg: Config, config: str, weights: str) -> None:
    """Let a test of super-resolution measure what a recognizer reads, too.

    Args:
        cfg: What is tested; changed.
        config: Of the recognizer: a file, or the name of one that ships.
        weights: Its checkpoint, or bundled weights.

    Raises:
        FileNotFoundError: There is no such config.
        ValueError: What is tested is no super-resolution.
    """
    model = cfg.get("model") or {}
    if type_name(model) != SUPER_RESOLUTION.model:
        raise ValueError(
            f"--recognizer reads what super-resolution restored, and the model of {cfg.filename} "
            f"is {model.get('type')}"
        )
    for _, dataset in data_sets_of(cfg, "test"):
        if type_name(dataset) != "RenderedWordDataset":  # whose words have labels always
            dataset["labelled"] = True
    recognizer = dict(
        config=str(find_config(config, RECOGNITION.folder)), weights=name_checkpoint(weights)
    )
    given = cfg.get("test_evaluator") or []
    metrics = list(given) if isinstance(given, Sequence) else [given]
    reading = dict(type="mms_ocr.RestoredWordAccuracy", recognizer=recognizer)
    cfg.test_evaluator = [*metrics, reading]


def _report(runner: Runner, args: argparse.Namespace) -> str:
    # Here, since it needs MMOCR, which pretraining does without.
    from mms_ocr.evaluation.word_benchmark import WordBenchmark

    metrics = runner.test_loop.evaluator.metrics
    metric = next(one for one in metrics if isinstance(one, WordBenchmark))
    dataset = runner.test_loop.dataloader.dataset
    if args.save_words:
        write_words(args.save_words, metric.words, metric.scores)
    read = {word.index for word in metric.words}
    unread = [index for index in range(len(dataset)) if index not in read]
    sets = runner.cfg.test_dataloader.dataset.sets
    here = {score.name for score in metric.scores}
    return write_report(
        runner.cfg,
        args,
        metric.scores,
        [one.get("title", name) for name, one in sets.items() if name not in here],
        [dataset.image_name(index) for index in unread[:_LISTED]],
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate; returns the exit status."""
    return run_program("test.py", lambda: parse_args(argv), test)
