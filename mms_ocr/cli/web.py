"""``mms-ocr web``: a web page that reads, cuts out, sharpens and masks words."""

from __future__ import annotations

import argparse
import contextlib
import sys

HELP = "start a web page on this machine: read, cut out, sharpen and mask words"
_KINDS = ("reader", "segmentor", "upscaler", "encoder")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--port", type=int, default=7860, help="port to listen on; 0 for any free one (%(default)s)"
    )
    parser.add_argument(
        "--host", default="127.0.0.1",
        help="address to listen on; any but %(default)s lets other machines use the page"
    )  # fmt: skip
    for kind in _KINDS:
        parser.add_argument(
            f"--{kind}", metavar="NAME|FILE",
            help=f"weights of the {kind} (default: the bundled ones)"
        )  # fmt: skip
    parser.add_argument("--device", help="cpu, cuda, cuda:1, … (default: a GPU if there is one)")
    parser.add_argument(
        "--no-browser", action="store_true", help="do not open the page in a browser"
    )


def run(args: argparse.Namespace) -> None:
    """Serve the page until it is interrupted."""
    from mms_ocr.apis.web.serving import can_open_browser, choose_port, prepared_gradio, serve

    port = choose_port(args.host, args.port)
    opens_browser = not args.no_browser and can_open_browser()
    output = sys.stdout
    # Packages must not print beside the page's address.
    with contextlib.redirect_stdout(sys.stderr), prepared_gradio():
        try:
            from mms_ocr.apis.web.page import build_page
            from mms_ocr.apis.web.results import PageModels
        except ImportError as error:
            raise ImportError(
                f"the page needs torch and the OpenMMLab packages ({error}); see docs/install.md"
            ) from error

        def report(url: str) -> None:
            print(f"mms-ocr web: {url} (Ctrl+C ends it)", file=output, flush=True)

        models = PageModels({kind: getattr(args, kind) for kind in _KINDS}, args.device)
        serve(lambda: build_page(models), args.host, port, opens_browser, report)
    print("mms-ocr web: ended")
