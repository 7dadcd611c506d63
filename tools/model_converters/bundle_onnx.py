"""Write the bundled models in ONNX, mms_ocr/zoo/NAME.onnx, of the bundled weights.

    python tools/model_converters/bundle_onnx.py

The weights are stored as fp16, as in NAME.safetensors. Encoders alone have none. The metadata of a
model has the checksum of its weights: run this again when they change.
"""

import argparse
import os
import sys

from mms_ocr.apis import export
from mms_ocr.apis.zoo import MAX_FILE, MAX_TOTAL, read_zoo, task_of
from mms_ocr.utils import bundled
from mms_ocr.utils.errors import run_program


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="bundled weights (default: all)")
    parser.add_argument("--traceback", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def bundle_onnx(args: argparse.Namespace) -> None:
    """Write the models.

    Raises:
        ValueError: A file, or all of the package together, are too large.
    """
    entries = read_zoo()
    for name in args.names or bundled.bundled_names():
        if task_of(entries[name]) in ("textrecog", "segmentation", "super_resolution"):
            exported = export(name, bundled.bundled_onnx(name), half=True)
            print(f"{name}: {exported.size / 1e6:.1f} MB, differs by {exported.difference:.1g}")
    sizes = [os.path.getsize(file) / 1e6 for file in bundled.FOLDER.iterdir()]
    if max(sizes) > MAX_FILE or sum(sizes) > MAX_TOTAL:
        raise ValueError(
            f"the largest file has {max(sizes):.1f} MB and all have {sum(sizes):.1f}; at most "
            f"{MAX_FILE} and {MAX_TOTAL} are bundled"
        )


def main(argv: list[str] | None = None) -> int:
    return run_program("bundle_onnx.py", lambda: parse_args(argv), bundle_onnx)


if __name__ == "__main__":
    sys.exit(main())
