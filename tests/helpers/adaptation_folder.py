"""A made-up folder of an adaptation: test crops, words of three readers, and logs."""

import json

from made_images import encode, lmdb_entries, word_pixels, write_lmdb

from mms_ocr.apis.adaptation.context import Reader, ReportContext, Training

COUNT = 40
NAMES = ("bundled", "finetune_plain", "finetune")
# Test words that each reader has right: the trained ones 24 and 30, of which 22 are the same.
RIGHT = {"bundled": range(20), "finetune_plain": range(24), "finetune": range(2, 32)}
ANY_CASE, EXACT = "word_acc_ignore_case_symbol", "word_acc"
DATA = {
    "unlabelled": dict(
        paths=["crops"],
        given=900,
        broken=1,
        broken_messages=["a.png: empty"],
        repeated=0,
        left_out=12,
        used=887,
    ),
    "labelled": dict(given=300, broken=0, repeated=0, left_out=4, used=296),
    "test": dict(given=40, broken=0, repeated=0, left_out=0, used=40),
    "held_out": True,
    "new_characters": "€ ",
    "unknown_test_characters": "",
}


def write_words(folder, name, labels, texts, confidence=0.5):
    path = folder / f"runs/test_{name}/words.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        dict(path=f"data/test.lmdb:image-{n:09d}", label=label, text=text, confidence=confidence)
        for n, (label, text) in enumerate(zip(labels, texts), start=1)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path.relative_to(folder))


def write_run(folder, name, rows):
    path = folder / "runs" / name / "20260101_000000" / "vis_data" / "scalars.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(row) for row in rows) + '\n{"loss": 0.')  # as killed
    return f"runs/{name}"


def fill(folder, labels, texts):
    """Write test crops, words and logs; returns what the report is made from."""
    (folder / "data").mkdir(parents=True)
    images = [encode(word_pixels(number)) for number in range(len(labels))]
    write_lmdb(folder / "data/test.lmdb", lmdb_entries(images, labels))
    names = "".join(f"shop/word {number}.png\n" for number in range(len(labels)))
    (folder / "data/test_names.txt").write_text(names)
    losses = [dict(loss=1 / step, iter=step, step=step) for step in (10, 20, 30)]
    masked = [{"masked_error/mean": 0.9, "masked_error/span": 0.8, "step": 30}]
    shares = [{f"recog/{ANY_CASE}": 0.6, f"recog/{EXACT}": float("nan"), "step": 30}]
    runs = dict(pretrain=losses + masked, finetune_plain=losses + shares, finetune=losses + shares)
    trainings = {
        name: Training(f"training {name}", write_run(folder, name, rows), 30, 64, seconds=90)
        for name, rows in runs.items()
    }
    parts = ((), ("finetune_plain",), ("pretrain", "finetune"))
    readers = [
        Reader(name, f"the {name}", write_words(folder, name, labels, texts[name]), part, 296)
        for name, part in zip(NAMES, parts)
    ]
    return ReportContext(
        readers,
        trainings,
        DATA,
        commands=[("masked pretraining", "python train.py pretrain.py --work-dir runs/pretrain")],
        seconds={"data": 6.0, "all": 300.0},
        speeds={"reading": 312.0},
        parameters=1_210_000,
        file_sizes={"reader.onnx": 4_800_000},
        machine="a machine",
        notes=["The comparison was shorter than planned."],
    )


def made_texts(labels):
    """Return what each reader reads: right in any case, in upper case for the bundled one."""
    texts = {}
    for name in NAMES:
        read = [label if n in RIGHT[name] else f"{label}x" for n, label in enumerate(labels)]
        texts[name] = [text.upper() for text in read] if name == "bundled" else read
    return texts
