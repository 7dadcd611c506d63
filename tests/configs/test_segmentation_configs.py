"""Segmentation configs build, differ in what their names say, and run from the command line."""

import json
import multiprocessing

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.utils import to_2tuple

from mms_ocr.apis.bundled_configs import config_folder
from mms_ocr.cli import testing, training
from mms_ocr.engine import set_iterations
from mms_ocr.models.weights import read_checkpoint
from mms_ocr.registry import DATASETS, MODELS

FOLDER = config_folder() / "segmentation"
NAMES = [f"mms_vit_{size}_seg_rendered" for size in "nts"]
NAMES += ["mms_vit_s_seg_textseg", "mms_vit_s_seg_pairs"]
SMALL = [
    *(
        f"model.backbone.arch.{key}"
        for key in (
            "_delete_=True",
            "embed_dims=24",
            "num_layers=2",
            "num_heads=2",
            "feedforward_channels=48",
        )
    ),
    "model.decoder.decoder_embed_dim=24",
    "model.decoder.decoder_depth=1",
    "train_dataloader.batch_size=3",
    "val_dataloader.batch_size=4",
    "test_dataloader.batch_size=3",
    "custom_hooks.0.num_images=2",
    *(
        f"{part}_dataloader.{key}"
        for part in ("train", "val", "test")
        for key in ("num_workers=0", "persistent_workers=False")
    ),
]
RENDERED = ["val_dataloader.dataset.num_samples=5", "test_dataloader.dataset.num_samples=5"]


def load(name):
    return Config.fromfile(FOLDER / f"{name}.py")


def test_folder_holds_the_expected_configs():
    assert sorted(path.stem for path in FOLDER.glob("mms_*.py")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_models_and_pipelines_agree(name):
    cfg = load(name)
    with torch.device("meta"):
        model = MODELS.build(cfg.model)
        rows, columns = model.backbone.grid
        height, width = to_2tuple(model.decoder.patch_size)
        size = (rows * height, columns * width)
    assert model.backbone.embed_dims == {"n": 128, "t": 192, "s": 384}[name.split("_")[2]]
    assert model.decoder.blocks[0].attn.num_heads == (4 if "vit_n" in name else 2)
    train, val = (cfg[f"{part}_dataloader"].dataset.pipeline for part in ("train", "val"))
    assert train[-1].type == "mms_ocr.PackWordCoverage"
    assert tuple(train[-1].size) == size == (64, 256)
    for pipeline in (train, val):
        (resize,) = (step for step in pipeline if step.type == "mms_ocr.ResizeWordImage")
        assert tuple(resize.size) == tuple(cfg.model.backbone.img_size) == (32, 128)
    assert [step.type for step in val] == ["mms_ocr.ResizeWordImage", "mms_ocr.PackWordMask"]
    assert cfg.test_dataloader.dataset.pipeline == val
    assert cfg.val_evaluator.type == "mms_ocr.ForegroundMetric"


@pytest.mark.parametrize("size", "ts")
def test_rendered_words_are_validated_in_fonts_not_trained_on(size):
    cfg = load(f"mms_vit_{size}_seg_rendered")
    faces = []
    for part in ("train", "val"):
        settings = dict(cfg[f"{part}_dataloader"].dataset, pipeline=[], num_samples=1)
        fonts = DATASETS.build(settings).renderer.fonts
        faces.append({face.family for face in fonts.faces})
    assert faces[0]
    assert faces[1]
    assert not faces[0] & faces[1]


def test_own_words_are_split():
    cfg = load("mms_vit_s_seg_pairs")
    train, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    assert (train.holdout.part, val.holdout.part) == ("train", "val")
    assert train.holdout.share == val.holdout.share == 0.1
    assert [step.type for step in train.pipeline[:2]] == [
        "mms_ocr.WarpWordMask",
        "mmpretrain.ColorJitter",
    ]


def test_textseg_is_not_tested_on_what_a_checkpoint_is_chosen_by():
    cfg = load("mms_vit_s_seg_textseg")
    parts = (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader)
    assert [tuple(part.dataset.splits) for part in parts] == [("train",), ("val",), ("test",)]
    assert {part.dataset.path for part in parts} == {"data/TextSeg"}


def test_schedule_scales_with_iterations():
    cfg = load("mms_vit_s_seg_rendered")
    set_iterations(cfg, 200)
    assert cfg.param_scheduler[0].end == 20
    assert cfg.param_scheduler[1].end == cfg.train_cfg.max_iters == 200


# --- runs ----------------------------------------------------------------------------------------


def scores(folder):
    lines = []
    for path in sorted(folder.rglob("vis_data/scalars.json")):
        lines += [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if "foreground/iou_dataset" in line]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two iterations on rendered words."""
    folder = tmp_path_factory.mktemp("run")
    options = ["--work-dir", str(folder), "--iterations", "2"]
    options += ["--cfg-options", *SMALL, *RENDERED]
    assert training.main([str(FOLDER / "mms_vit_t_seg_rendered.py"), *options]) == 0
    return folder


def test_run_writes_checkpoints_scores_and_pictures(run):
    assert (run / "iter_2.pth").is_file()
    assert list(run.glob("best_foreground_iou_dataset_iter_*.pth"))
    last = scores(run)[-1]
    assert 0 <= last["foreground/iou_dataset"] <= 1
    assert last["foreground/images"] == 5
    (*_, picture) = sorted(run.glob("*/pictures/comparisons_*.png"))
    assert cv2.imread(str(picture)).shape[1] > 3 * 256


def test_testing_gives_the_numbers_of_the_validation(run, tmp_path):
    options = ["--work-dir", str(tmp_path), "--cfg-options", *SMALL, *RENDERED]
    arguments = [str(FOLDER / "mms_vit_t_seg_rendered.py"), str(run / "iter_2.pth"), *options]
    assert testing.main(arguments) == 0
    (path,) = tmp_path.glob("*/*.json")
    tested, validated = json.loads(path.read_text()), scores(run)[-1]
    for name in ("iou_dataset", "iou_image_mean", "precision_dataset", "recall_dataset"):
        key = f"foreground/{name}"
        assert tested[key] == pytest.approx(validated[key], abs=2e-3)


def test_run_resumes(run):
    options = ["--work-dir", str(run), "--iterations", "3", "--resume"]
    options += ["--cfg-options", *SMALL, *RENDERED]
    assert training.main([str(FOLDER / "mms_vit_t_seg_rendered.py"), *options]) == 0
    assert read_checkpoint(run / "iter_3.pth")["meta"]["iter"] == 3


@pytest.fixture
def own_words(tmp_path):
    for number in range(12):
        size = (24, 70) if number % 3 else (80, 300)
        image = np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
        mask = np.zeros(size, np.uint8)
        mask[5:15, 10 : 20 + 3 * number] = 255
        for folder, picture in (("image", image), ("mask", mask)):
            (tmp_path / "words" / folder).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / "words" / folder / f"{number}.png"), picture)
    return tmp_path / "words"


def test_own_words_by_data_option(own_words, tmp_path):
    options = ["--work-dir", str(tmp_path / "run"), "--iterations", "1"]
    options += ["--data", str(own_words), "--cfg-options", *SMALL]
    assert training.main([str(FOLDER / "mms_vit_s_seg_pairs.py"), *options]) == 0
    assert scores(tmp_path / "run")


def test_a_score_that_is_nan_is_never_the_best(own_words, tmp_path, capsys):
    for path in (own_words / "mask").iterdir():
        cv2.imwrite(str(path), np.zeros_like(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)))
    options = ["--work-dir", str(tmp_path / "run"), "--iterations", "2", "--data", str(own_words)]
    changes = ["model.threshold=0.9999", "train_cfg.val_interval=1"]
    options += ["--cfg-options", *SMALL, *changes]
    assert training.main([str(FOLDER / "mms_vit_s_seg_pairs.py"), *options]) == 0
    assert not list((tmp_path / "run").glob("best_*"))
    for line in scores(tmp_path / "run"):
        assert np.isnan(line["foreground/iou_dataset"])
        assert line["foreground/clean_without_text"] == 1
    assert "none of the true masks has text" in capsys.readouterr().out


def test_no_worker_outlives_a_run(own_words, tmp_path):
    """Such a worker would keep Python from exiting while it ignores signals."""
    options = ["--work-dir", str(tmp_path / "run"), "--iterations", "1", "--data", str(own_words)]
    options += ["--cfg-options", *SMALL, "train_dataloader.num_workers=1"]
    before = set(multiprocessing.active_children())
    assert training.main([str(FOLDER / "mms_vit_s_seg_pairs.py"), *options]) == 0
    # Those that other tests have left may end meanwhile.
    assert set(multiprocessing.active_children()) <= before


def test_missing_data_give_one_line(tmp_path, capsys):
    options = ["--work-dir", str(tmp_path), "--iterations", "1", "--cfg-options", *SMALL]
    assert training.main([str(FOLDER / "mms_vit_s_seg_textseg.py"), *options]) == 2
    assert "there is no 'data/TextSeg/split.json'" in capsys.readouterr().err
    assert training.main([str(FOLDER / "mms_vit_s_seg_pairs.py"), *options]) == 2
    assert "there are no masks at 'data/words_with_masks'" in capsys.readouterr().err
