"""Train what a config describes: pretraining, recognition, segmentation or super-resolution."""

from mms_ocr.cli.joining import exit_process
from mms_ocr.cli.training import main

if __name__ == "__main__":
    exit_process(main())
