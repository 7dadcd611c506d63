"""``mms-ocr labels`` and the converter of Union14M as typed."""

import json
import runpy
import subprocess
import sys

import pytest

from mms_ocr.cli.main import main
from mms_ocr.datasets import BenchmarkDataset, WordImageDataset


def mmocr_json(path, words):
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = [dict(img_path=name, instances=[dict(text=text)]) for name, text in words]
    path.write_text(json.dumps(dict(metainfo={}, data_list=entries)))


def test_labels_are_checked_or_written(word_images, tmp_path, capsys):
    word_images(3)
    source = tmp_path / "images" / "gt.txt"
    source.write_text("0.png cab\n1.png é\n2.png a b\n")
    assert main(["labels", str(source)]) == 0
    out = capsys.readouterr().out
    assert f"3 words of {source} have labels" in out
    assert "2 words have characters outside" in out
    written, left_out = tmp_path / "images" / "words.jsonl", tmp_path / "left.txt"
    command = ["labels", str(source), "--out", str(written), "--list-left-out", str(left_out)]
    assert main([*command, "--leave-out-outside"]) == 0
    out = capsys.readouterr().out
    assert f"{source}: file names are relative to {source.parent}\n" in out
    assert "(2 left out)" in out
    assert [json.loads(line)["text"] for line in written.read_text().splitlines()] == ["cab"]
    assert left_out.read_text() == ""
    lmdb = str(tmp_path / "words.lmdb")
    assert main(["convert", str(written), lmdb]) == 0
    assert main(["labels", lmdb, "--dictionary", "none"]) == 0
    assert "1 words of" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.json"], "no annotation file none.json"),
        (["FOLDER"], "has no labels"),
        (["gt.txt", "--dictionary", "none.txt"], "no dictionary file none.txt"),
    ],
)
def test_bad_input_gives_one_line_and_status_2(word_images, tmp_path, capsys, arguments, message):
    word_images(1)
    arguments = [word.replace("FOLDER", str(tmp_path / "images")) for word in arguments]
    assert main(["labels", *arguments]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_union14m(word_images, tmp_path, repository):
    word_images(5)
    root = tmp_path
    names = [f"images/{number}.png" for number in range(5)]
    levels = ("easy", "medium", "normal", "hard", "challenging")
    for name, level in zip(names, levels):
        mmocr_json(root / "train_annos" / "mmocr1.0" / f"train_{level}.json", [(name, level)])
    mmocr_json(root / "train_annos" / "mmocr1.0" / "val_annos.json", [(names[0], "val")])
    sets = root / "Union14M-Benchmarks"
    for name in ("curve", "salient"):
        mmocr_json(sets / name / "annotation.json", [(f"{name}/imgs/0.png", name)])
        (sets / name / "imgs").mkdir()
        (sets / name / "imgs" / "0.png").write_bytes((root / names[0]).read_bytes())
    path = str(repository / "tools" / "dataset_converters" / "union14m.py")
    part = ["--parts", "train", "--difficulties", "hard", "easy", "--", "--skip-images"]
    program = runpy.run_path(path)
    assert program["convert"](program["parse_args"]([str(root), *part])) == 0
    chosen = WordImageDataset(root / "train.jsonl", labelled=True)
    assert [chosen[index]["text"] for index in range(len(chosen))] == ["hard", "easy"]
    (root / "train.jsonl").unlink()
    script = [sys.executable, path]
    done = subprocess.run([*script, str(root)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    train = WordImageDataset(root / "train.jsonl", labelled=True)
    assert [train[index]["text"] for index in range(5)] == list(levels)
    assert WordImageDataset(root / "val.jsonl", labelled=True)[0]["text"] == "val"
    benchmark = BenchmarkDataset(
        dict(curve=dict(path="curve"), salient=dict(path="salient")), root=str(sets)
    )
    assert [benchmark[index]["text"] for index in range(2)] == ["curve", "salient"]
    again = subprocess.run([*script, str(root)], capture_output=True, text=True, check=False)
    assert again.returncode == 0
    assert again.stdout.count("exists already") == 4
    wrong = subprocess.run([*script, str(sets)], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "give the folder of Union14M-L as unpacked" in wrong.stderr
