"""Train what a config describes: pretraining, recognition, segmentation or super-resolution."""

from mms_ocr.apis.joining import exit_process
from mms_ocr.apis.training import main

if __name__ == "__main__":
    exit_process(main())
