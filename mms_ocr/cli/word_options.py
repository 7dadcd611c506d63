"""Options of the commands that apply trained models to word images."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mms_ocr.utils.bundled import CHECKPOINT_SUFFIXES, is_onnx
from mms_ocr.utils.errors import report_error


def add_weights_options(
    parser: argparse.ArgumentParser, model: str, kinds: str = "or a checkpoint"
) -> None:
    """Declare ``--weights``, ``--config`` and ``--device`` of a kind of model."""
    parser.add_argument(
        "--weights", metavar="NAME|FILE",
        help=f"bundled weights, which mms-ocr zoo lists, {kinds} (default: the bundled {model})"
    )  # fmt: skip
    parser.add_argument(
        "--config", metavar="CONFIG",
        help="its config: a file, or the name of a bundled one (default: the one named in the "
        "checkpoint, else one of the encoder's size)"
    )  # fmt: skip
    parser.add_argument("--device", help="cpu, cuda, cuda:1, … (default: a GPU if there is one)")


def add_word_options(
    parser: argparse.ArgumentParser, model: str, out: str, *, needs_out: bool
) -> None:
    """Declare images, ``--out`` (whose help is ``out``), ``--batch-size`` and the weights."""
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE",
        help="image files, folders of images (at any depth), LMDBs, files of JSON lines (.jsonl), "
        "or patterns in quotes"
    )  # fmt: skip
    add_weights_options(parser, model, "a checkpoint, or a model in ONNX")
    parser.add_argument("--out", required=needs_out, metavar="DIR", help=out)
    parser.add_argument(
        "--batch-size", type=int, default=64, metavar="N", help="images in a batch (64)"
    )


def check_word_options(args: argparse.Namespace, endings: Sequence[str] = (".png",)) -> None:
    """Check the options before a model is built; names of files in ``--out`` end in ``endings``.

    Raises:
        ValueError: There are no images, ``--out`` mixes outputs and inputs, or a number is wrong.
    """
    from mms_ocr.apis.input_images import check_inputs
    from mms_ocr.utils.output_checks import check_picture_folder

    if args.batch_size < 1:
        raise ValueError(f"--batch-size is {args.batch_size}; give at least 1")
    check_no_checkpoints(args.images)
    files = check_inputs(args.images)
    if args.out:
        inputs = [*files, *filter(None, (args.weights, args.config))]
        check_picture_folder(args.out, tuple(endings), inputs)


def check_no_checkpoints(images: Sequence[str]) -> None:
    """Raise ValueError if an image has the suffix of a checkpoint."""
    for image in images:
        if image.lower().endswith(CHECKPOINT_SUFFIXES) or is_onnx(image):
            raise ValueError(f"{image} is a model, not an image; give --weights {image}")


class BrokenCount:
    """Reports and counts images that a command cannot use."""

    def __init__(self, command: str) -> None:
        self._command = command
        self.broken = 0

    def report(self, message: str) -> None:
        """Report one image in a line on standard error."""
        self.broken += 1
        report_error(self._command, message)

    def exit_status(self, used: int) -> int:
        """Return 0; or 1, after a line with the count, if some of the images were broken."""
        if not self.broken:
            return 0
        total = used + self.broken
        report_error(self._command, f"{self.broken:,} of {total:,} images could not be used")
        return 1
