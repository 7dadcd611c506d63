"""Evaluate a checkpoint with the test set and metrics of a config."""

from mms_ocr.cli.joining import exit_process
from mms_ocr.cli.testing import main

if __name__ == "__main__":
    exit_process(main())
