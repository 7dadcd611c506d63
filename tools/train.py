"""Train what a config describes: pretraining, recognition, segmentation or super-resolution."""

import sys

from mms_ocr.apis.training import main

if __name__ == "__main__":
    sys.exit(main())
