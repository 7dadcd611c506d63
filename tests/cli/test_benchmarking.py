"""``tools/test.py`` with test sets: figures known beforehand, one process and two."""

import argparse
import contextlib
import importlib
import json
import os

import pytest
from distributed import in_processes
from mmengine.config import Config

from mms_ocr.cli import testing
from mms_ocr.cli.benchmarking import (
    check_reports,
    name_sets,
    reads_words,
    write_report,
    write_words,
)
from mms_ocr.evaluation.benchmark_scores import ReadWord, SetScore
from mms_ocr.registry import DATASETS, METRICS

FEW = ["--cfg-options", "test_dataloader.batch_size=2", "test_dataloader.num_workers=0"]


@pytest.fixture
def labelled(tiny_recognizer, word_images, label_words, tmp_path):
    """Two sets of 5 and 4 words, one of the latter broken, with labels chosen by what is read."""
    reader = importlib.import_module("mms_ocr.apis.reading").WordReader(
        *tiny_recognizer[::-1], "cpu"
    )
    paths = word_images(9)
    texts = [reading.text for reading in reader(paths)]
    assert all(text and text.lower() != text.upper() for text in texts), texts
    labels = [texts[0], texts[1].swapcase(), f"{texts[2]}\u00a7", "wrong", texts[4]]
    first = label_words(paths[:5], labels, "first")
    second = label_words(paths[5:], [texts[5], "x", "y", texts[8]], "second")
    (tmp_path / "images" / "7.png").write_bytes(b"broken")
    return first, second


#: Right words of the sets: letters and digits only, ignoring case, and case-sensitive.
RIGHT = dict(
    first=dict(word_acc_ignore_case_symbol=4, word_acc_ignore_case=3, word_acc=2),
    second=dict(word_acc_ignore_case_symbol=2, word_acc_ignore_case=2, word_acc=2),
)
ACCEPT = "test_dataloader.dataset.max_broken=0.25"


def check_figures(folder, name="benchmark"):
    report = json.loads((folder / f"{name}.json").read_text())
    assert {test["name"]: test["correct"] for test in report["sets"]} == RIGHT
    assert [(test["images"], test["skipped"]) for test in report["sets"]] == [(5, 0), (3, 1)]
    mean = report["mean_of_sets"]["word_acc_ignore_case_symbol"]
    assert mean == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert report["of_all_images"]["word_acc"] == pytest.approx(4 / 8)
    return report


def test_a_table_of_known_figures(tiny_recognizer, labelled, tmp_path, capfd):
    config, weights = tiny_recognizer
    words = tmp_path / "words.jsonl"
    options = ["--work-dir", str(tmp_path / "run"), "--save-words", str(words), *FEW, ACCEPT]
    assert testing.main([config, weights, "--data", *labelled, *options]) == 0
    out = capfd.readouterr().out
    report = check_figures(tmp_path / "run")
    assert report["skipped"] == [str(tmp_path / "images" / "7.png")]
    assert (report["config"], report["checkpoint"]) == (config, weights)
    markdown = (tmp_path / "run" / "benchmark.md").read_text()
    for line in (
        "| letters and digits only, ignoring case | 80.00 |  66.67 |          73.33 |      75.00 |",
        "| all characters, case-sensitive         | 40.00 |  66.67 |          53.33 |      50.00 |",
    ):
        assert line in out
        assert line in markdown
    assert "skipped (unreadable)" in markdown
    rows = [json.loads(line) for line in words.read_text().splitlines()]
    assert [row["set"] for row in rows] == ["first"] * 5 + ["second"] * 3
    assert [row["label"] == row["text"] for row in rows] == [
        True, False, False, False, True, True, False, True
    ]  # fmt: skip


def test_image_names_outside_unicode_are_reported(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    scores = [SetScore("a", "A", 2, 1, dict(word_acc_ignore_case_symbol=1, word_acc=1))]
    write_words(str(tmp_path / "words.jsonl"), [ReadWord(0, "\xe9", "\xe9", path=name)], scores)
    (row,) = (tmp_path / "words.jsonl").read_text("utf-8").splitlines()
    assert json.loads(row)["path"] == name
    args = argparse.Namespace(config=name, checkpoint="c.pth", benchmark=None)
    write_report(Config(dict(work_dir=str(tmp_path))), args, scores, skipped=[name])
    assert json.loads((tmp_path / "benchmark.json").read_text("utf-8"))["skipped"] == [name]
    assert "Skipped: `caf\\udce9.png`" in (tmp_path / "benchmark.md").read_text("utf-8")


def test_reports_never_replace_inputs(tmp_path):
    for name in ("benchmark.json", "c.pth", "c.py"):
        (tmp_path / name).write_text('{"filename": "a.png"}')
    os.link(tmp_path / "c.pth", tmp_path / "link")
    sets = dict(a=dict(path="benchmark.json"))
    for work_dir, save_words, error in (
        ("work", None, None),
        ("", None, ValueError),
        ("work", "link", ValueError),
        ("work", "none/words", OSError),
        ("c.py", None, OSError),
    ):
        dataset = dict(root=str(tmp_path), sets=sets)
        cfg = Config(dict(work_dir=str(tmp_path / work_dir), test_dataloader=dict(dataset=dataset)))
        args = argparse.Namespace(
            config=str(tmp_path / "c.py"), checkpoint=str(tmp_path / "c.pth"), benchmark=None,
            recognizer=None, save_words=save_words and str(tmp_path / save_words),
        )  # fmt: skip
        with contextlib.nullcontext() if error is None else pytest.raises(error):
            check_reports(cfg, args)


@pytest.mark.slow
def test_two_processes_count_each_image_once(tiny_recognizer, labelled, tmp_path, capfd):
    """Nine images on two processes, so that one is drawn twice, and a broken one among them."""
    options = ["--work-dir", str(tmp_path / "run"), "--launcher", "pytorch", *FEW, ACCEPT]
    arguments = [*tiny_recognizer, "--data", *labelled, *options]
    assert in_processes(2, testing.main, arguments) == [0, 0]
    check_figures(tmp_path / "run")
    assert capfd.readouterr().out.count("| all characters, case-sensitive") == 1


def test_own_benchmark_with_bundled_and_other_sets(tiny_recognizer, labelled, tmp_path, capfd):
    config, weights = tiny_recognizer
    options = ["--work-dir", str(tmp_path / "run"), *FEW]
    command = [config, weights, "--benchmark", "common", *options]
    assert testing.main([*command, "--benchmark-root", str(tmp_path)]) == 2
    message = capfd.readouterr().err.splitlines()[-1]
    assert "6 of 6 test sets are missing: iiit5k at " in message
    assert testing.main([*command, "--data", f"svt={labelled[0]}", "--sets", "svt"]) == 0
    report = json.loads((tmp_path / "run" / "benchmark_common.json").read_text())
    assert report["left_out"] == ["IIIT5K", "IC13", "IC15", "SVTP", "CUTE80"]
    (only,) = report["sets"]
    assert (only["title"], only["images"], only["images_in_papers"]) == ("SVT", 5, 647)
    markdown = (tmp_path / "run" / "benchmark_common.md").read_text()
    assert "SVT: 5 images here, 647 in papers" in markdown
    assert "Left out: IIIT5K, IC13, IC15, SVTP, CUTE80." in markdown


def test_held_out_words_are_not_in_training(tiny_recognizer, labelled, tmp_path, capfd):
    config, weights = tiny_recognizer
    options = ["--work-dir", str(tmp_path), "--held-out", *FEW]
    assert testing.main([config, weights, "--data", labelled[0], *options]) == 0
    cfg = Config.fromfile(config)
    held_out = dict(cfg.test_dataloader.dataset, path=labelled[0], pipeline=[])
    dataset = DATASETS.build(held_out)
    (report,) = json.loads((tmp_path / "benchmark.json").read_text())["sets"]
    assert report["images"] == len(dataset) < 5
    first = tmp_path / "first.py"
    first.write_text(
        f'_base_ = "{config}"\ntest_dataloader = dict(dataset=dict(holdout=None, indices=2))\n'
    )
    assert testing.main([str(first), weights, "--data", labelled[0], *options]) == 0
    (report,) = json.loads((tmp_path / "benchmark.json").read_text())["sets"]
    assert (report["images"], report["correct"]["word_acc"]) == (2, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--benchmark", "comon"], "no config 'comon': give a file, or one of common, "),
        (["--sets", "svt"], "no test sets are named"),
        (["--data", "FIRST", "FIRST"], "sets are called 'first'"),
        (["--data", "FIRST", "--held-out", "--benchmark", "common"], "--held-out needs"),
        (["--benchmark", "common", "--data", "svt=FIRST", "--sets", "x"], "no test set x here"),
        (["--data", "nowhere.lmdb"], "1 of 1 test sets are missing: nowhere at "),
        (["--data", "SECOND", *FEW], "test set second: 1 of 4 images of"),
    ],
)
def test_bad_input_gives_one_line_and_status_2(
    tiny_recognizer, labelled, tmp_path, capfd, arguments, message
):
    places = dict(FIRST=labelled[0], SECOND=labelled[1])
    for word, path in places.items():
        arguments = [argument.replace(word, path) for argument in arguments]
    options = ["--work-dir", str(tmp_path)]
    assert testing.main([*tiny_recognizer, *options, *arguments]) == 2
    assert message in capfd.readouterr().err.splitlines()[-1]


def test_configs_that_cannot_be_benchmarked(tiny_recognizer, repository, capfd):
    weights = tiny_recognizer[1]
    pretraining = str(repository / "configs" / "mms" / "pretrain_vit_t.py")
    assert testing.main([pretraining, weights, "--benchmark", "common"]) == 2
    assert "reads no words" in capfd.readouterr().err.splitlines()[-1]
    benchmark = str(repository / "configs" / "textrecog" / "benchmarks" / "common.py")
    assert testing.main([benchmark, weights]) == 2
    assert "describes no model" in capfd.readouterr().err.splitlines()[-1]


def test_sets_get_their_names_from_their_paths(tmp_path):
    given = ["data/iiit5k/test.jsonl", "svt=x/y.lmdb", "data/IC13.lmdb", "cute80/data.mdb"]
    assert name_sets(given) == {
        "iiit5k": "data/iiit5k/test.jsonl",
        "svt": "x/y.lmdb",
        "IC13": "data/IC13.lmdb",
        "cute80": "cute80/data.mdb",
    }
    odd = tmp_path / "a=b.jsonl"
    odd.write_text("{}")
    assert name_sets([str(odd)]) == {"a=b": str(odd)}
    with pytest.raises(ValueError, match="to put it in place of a set, give svt=data/svt"):
        name_sets(["data/svt"], known={"svt": {}})
    with pytest.raises(ValueError, match="give PATH or NAME=PATH"):
        name_sets(["svt="])


def test_configs_that_read_words(repository):
    for name, reads in (
        ("textrecog/mms_vit_t_ar_words.py", True),
        ("textrecog/benchmarks/common.py", True),
        ("mms/pretrain_vit_t.py", False),
    ):
        assert reads_words(Config.fromfile(repository / "configs" / name)) is reads


@pytest.mark.parametrize(
    ("name", "sets", "counted"), [("common", 6, 6), ("common_small", 6, 6), ("union14m", 9, 7)]
)
def test_bundled_benchmarks(repository, tmp_path, name, sets, counted):
    path = repository / "configs" / "textrecog" / "benchmarks" / f"{name}.py"
    dataset = Config.fromfile(path).test_dataloader.dataset
    assert len(dataset.sets) == sets
    assert sum(test.get("in_average", True) for test in dataset.sets.values()) == counted
    total = sum(test.get("images", 0) for test in dataset.sets.values())
    # IIIT5K 3000 + SVT 647 + SVTP 645 + CUTE80 288, and IC13 and IC15 in two sizes; Union14M's own.
    assert total == dict(common=7672, common_small=7248, union14m=409_383)[name]
    assert Config.fromfile(path).test_evaluator.type == "mms_ocr.WordBenchmark"
    assert METRICS.build(dict(type="mms_ocr.WordBenchmark")).prefix == "benchmark"
    folder = repository / "configs" / "_base_"
    whole = tmp_path / "whole.py"
    whole.write_text(f"_base_ = ['{folder}/models/rec_ar.py', '{path}', '{folder}/rec_runtime.py']")
    assert len(Config.fromfile(whole).test_dataloader.dataset.sets) == sets
    with pytest.raises(FileNotFoundError, match="test sets are missing"):
        DATASETS.build(dataset)
