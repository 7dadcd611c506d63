"""Convert labels in MMOCR's JSON, or in text files, to checked JSON lines.

The same as ``mms-ocr labels``:

    python tools/dataset_converters/labels.py words/labels.txt --out words/labels.jsonl
    python tools/dataset_converters/convert.py words/labels.jsonl words.lmdb
"""

import sys

from mms_ocr.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["labels", *sys.argv[1:]]))
