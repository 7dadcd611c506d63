"""Evaluate a checkpoint with the test set and metrics of a config."""

import sys

from mms_ocr.apis.testing import main

if __name__ == "__main__":
    sys.exit(main())
