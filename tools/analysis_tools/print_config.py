"""Print a config as a run uses it: with its bases, --data and --cfg-options, as one Python file."""

import argparse
import contextlib
import sys

from mmengine.config import Config

from mms_ocr.utils.errors import run_program

with contextlib.redirect_stdout(sys.stderr):  # logs: standard output is the config alone
    from mms_ocr.apis.bundled_configs import find_config
    from mms_ocr.cli.data_option import set_data
    from mms_ocr.utils.cfg_options import add_config_options, merge_cfg_options
    from mms_ocr.utils.config_files import read_config_file


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config: a file, or the name of a bundled one")
    parser.add_argument("--data", nargs="+", metavar="PATH", help="word images, as for training")
    add_config_options(parser)
    return parser.parse_args()


def print_config(args: argparse.Namespace) -> None:
    with contextlib.redirect_stdout(sys.stderr):
        cfg = changed_config(args)
    print(cfg.pretty_text)


def changed_config(args: argparse.Namespace) -> Config:
    """Read the config and apply the options."""
    cfg = read_config_file(str(find_config(args.config)))
    if args.data:
        set_data(cfg, args.data)
    merge_cfg_options(cfg, args.cfg_options)
    return cfg


if __name__ == "__main__":
    sys.exit(run_program("print_config.py", parse_args, print_config))
