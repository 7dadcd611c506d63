"""What the commands that use trained models on word images have in common."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mms_ocr.utils.bundled import CHECKPOINT_SUFFIXES
from mms_ocr.utils.errors import report_error


def add_weights_options(parser: argparse.ArgumentParser, noun: str) -> None:
    """Declare ``--weights`` and ``--config``.

    Args:
        parser: The command's.
        noun: What the model is called.
    """
    parser.add_argument(
        "--weights", metavar="NAME|FILE",
        help=f"bundled weights, which mms-ocr zoo lists, or a checkpoint (default: the bundled "
        f"{noun})"
    )  # fmt: skip
    parser.add_argument(
        "--config", metavar="CONFIG",
        help="its config: a file, or the name of a bundled one (default: the one that the "
        "checkpoint says it was trained with, else one of the encoder's size)"
    )  # fmt: skip


def add_word_options(
    parser: argparse.ArgumentParser, noun: str, out: str, *, needs_out: bool
) -> None:
    """Declare images, ``--weights``, ``--config``, ``--out``, ``--device`` and ``--batch-size``.

    Args:
        parser: The command's.
        noun: What the model is called.
        out: What ``--out`` is for.
        needs_out: Whether ``--out`` has to be given.
    """
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE",
        help="image files, folders of images (at any depth), LMDBs, files of JSON lines (.jsonl), "
        "or patterns in quotes"
    )  # fmt: skip
    add_weights_options(parser, noun)
    parser.add_argument("--out", required=needs_out, metavar="DIR", help=out)
    parser.add_argument("--device", help="cpu, cuda, cuda:1, … (default: a GPU if there is one)")
    parser.add_argument(
        "--batch-size", type=int, default=64, metavar="N", help="images at once (64)"
    )


def check_word_options(args: argparse.Namespace, endings: Sequence[str] = (".png",)) -> None:
    """Refuse a wrong call before a model is built.

    Args:
        args: Options of the command line.
        endings: What the names of the files in ``--out`` end in.

    Raises:
        ValueError: The batch is empty, a folder or data set holds nothing, a pattern matches
            nothing, an image is a checkpoint, or ``--out`` would mix outputs and inputs.
        OSError: ``--out`` is no folder and cannot be made one.
    """
    from mms_ocr.apis.input_images import check_inputs, input_files
    from mms_ocr.utils.output_checks import check_picture_folder

    if args.batch_size < 1:
        raise ValueError(f"--batch-size is {args.batch_size}; give at least 1")
    check_no_checkpoints(args.images)
    check_inputs(args.images)
    if args.out:
        named = [path for path in (args.weights, args.config) if path]
        inputs = [*input_files(args.images), *named]
        check_picture_folder(args.out, tuple(endings), inputs)


def check_no_checkpoints(images: Sequence[str]) -> None:
    """Refuse weights that are given without ``--weights``.

    Raises:
        ValueError: One of the images has the name of a checkpoint.
    """
    for image in images:
        if image.lower().endswith(CHECKPOINT_SUFFIXES):
            raise ValueError(f"{image} is no image but a checkpoint; give it as --weights {image}")


class BrokenCount:
    """Tells and counts images that cannot be used.

    Args:
        command: What its lines start with, such as ``'mms-ocr read'``.
    """

    def __init__(self, command: str) -> None:
        self._command = command
        self.broken = 0

    def report(self, fault: str) -> None:
        """Tell of one, in a line on standard error."""
        self.broken += 1
        report_error(self._command, fault)

    def exit_status(self, used: int) -> int:
        """1 where some were broken, after a line that counts them; else 0.

        Args:
            used: How many images were not.
        """
        if not self.broken:
            return 0
        total = used + self.broken
        report_error(self._command, f"{self.broken:,} of {total:,} images could not be used")
        return 1
