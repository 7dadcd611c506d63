"""Convert word images between folder, JSON lines, LMDB, TextSeg and TextZoom.

The same as ``mms-ocr convert``:

    python tools/dataset_converters/convert.py data/TextSeg data/textseg_test.lmdb --split test
    python tools/dataset_converters/convert.py data/TextZoom/train1 data/textzoom_train1
"""

import sys

from mms_ocr.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["convert", *sys.argv[1:]]))
