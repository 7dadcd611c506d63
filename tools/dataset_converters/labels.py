"""Labels of MMOCR's JSON, or of text files, as checked JSON lines.

The same as ``mms-ocr labels``, for those who look for converters here:

    python tools/dataset_converters/labels.py words/labels.txt --out words/labels.jsonl
    python tools/dataset_converters/convert.py words/labels.jsonl words.lmdb
"""

import sys

from mms_ocr.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["labels", *sys.argv[1:]]))
