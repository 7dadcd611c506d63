"""Pretraining from the command line to its output files, on few images."""

import json

import cv2
import numpy as np
import pytest
import torch

from mms_ocr.cli import testing, training
from mms_ocr.models import TextViT
from mms_ocr.models.weights import PretrainedTextViT, read_checkpoint

LITTLE = [
    "train_dataloader.batch_size=4",
    "val_dataloader.batch_size=4",
    "test_dataloader.batch_size=3",
    *(
        f"{part}_dataloader.{key}"
        for part in ("train", "val", "test")
        for key in ("num_workers=0", "persistent_workers=False")
    ),
    "model.neck.decoder_depth=1",
    "custom_hooks.0.num_images=2",
]
RENDERED = ["val_dataloader.dataset.num_samples=6", "test_dataloader.dataset.num_samples=6"]
ERRORS = [f"masked_error/{name}" for name in ("random_patch", "blockwise", "span", "mean")]


def logged(folder):
    """Every line of the logs in JSON, in order."""
    lines = []
    for path in sorted(folder.rglob("vis_data/scalars.json")):
        lines += [json.loads(line) for line in path.read_text().splitlines()]
    return lines


def validations(folder):
    return [line for line in logged(folder) if ERRORS[-1] in line]


@pytest.fixture(scope="module")
def config(request):
    return request.config.rootpath / "configs" / "mms"


@pytest.fixture(scope="module")
def run(tmp_path_factory, config):
    """A run of two iterations on rendered words."""
    folder = tmp_path_factory.mktemp("run")
    options = ["--work-dir", str(folder), "--iterations", "2", "--cfg-options", *LITTLE, *RENDERED]
    assert training.main([str(config / "pretrain_vit_t.py"), *options]) == 0
    return folder


def test_run_writes_checkpoint_log_and_pictures(run):
    assert (run / "iter_2.pth").is_file()
    assert list(run.glob("best_masked_error_mean_iter_*.pth"))
    assert list(run.glob("*/*.log"))
    pictures = sorted(path.name for path in run.glob("*/pictures/*.png"))
    assert pictures[-1] == "reconstructions_0000002.png"
    sheet = cv2.imread(str(next(run.glob("*/pictures/*.png"))))
    assert sheet.shape[1] > 7 * 128


def test_errors_are_logged_per_strategy(run):
    lines = logged(run)
    training_lines = [line for line in lines if "loss_pixel" in line]
    assert len(training_lines) == 2
    for line in training_lines:
        for name in ("random_patch", "blockwise", "span"):
            assert np.isfinite(line[f"error_{name}"])
    last = validations(run)[-1]
    assert all(0 < last[name] < 10 for name in ERRORS)
    assert last["masked_error/mean"] == pytest.approx(
        sum(last[name] for name in ERRORS[:3]) / 3, abs=1e-4
    )


def test_checkpoint_is_read_without_running_code(run):
    checkpoint = read_checkpoint(run / "iter_2.pth")
    assert {"state_dict", "optimizer", "message_hub", "param_schedulers"} <= set(checkpoint)
    encoder = TextViT(arch="tiny")
    PretrainedTextViT(str(run / "iter_2.pth"))(encoder)
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, checkpoint["state_dict"][f"backbone.{name}"])


def test_testing_gives_the_numbers_of_the_validation(run, config, tmp_path):
    options = ["--work-dir", str(tmp_path), "--cfg-options", *LITTLE, *RENDERED]
    arguments = [str(config / "pretrain_vit_t.py"), str(run / "iter_2.pth"), *options]
    assert testing.main(arguments) == 0
    (path,) = tmp_path.glob("*/*.json")
    tested, validated = json.loads(path.read_text()), validations(run)[-1]
    for name in ERRORS:
        # Other batches, hence other rounding, but the same images under the same masks.
        assert tested[name] == pytest.approx(validated[name], rel=1e-4)


def test_run_resumes(run, config):
    options = ["--work-dir", str(run), "--iterations", "3", "--resume"]
    options += ["--cfg-options", *LITTLE, *RENDERED]
    assert training.main([str(config / "pretrain_vit_t.py"), *options]) == 0
    before, after = (read_checkpoint(run / f"iter_{n}.pth") for n in (2, 3))
    assert after["meta"]["iter"] == 3
    steps = [next(iter(c["optimizer"]["state"].values()))["step"].item() for c in (before, after)]
    assert steps == [2, 3]
    assert [line["step"] for line in logged(run) if "loss_pixel" in line] == [1, 2, 3]


def test_own_images_are_one_option(config, tmp_path, capfd):
    rng = np.random.default_rng(0)
    for index in range(24):
        folder = tmp_path / "words" / f"part{index % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{index}.png"), rng.integers(0, 255, (20, 60, 3), np.uint8))
    options = ["--data", str(tmp_path / "words"), "--work-dir", str(tmp_path / "run")]
    options += ["--iterations", "1", "--cfg-options", *LITTLE]
    options += [f"{part}_dataloader.dataset.holdout.share=0.3" for part in ("train", "val", "test")]
    status = training.main([str(config / "pretrain_vit_s_words.py"), *options])
    assert status == 0, capfd.readouterr().err
    assert (tmp_path / "run" / "iter_1.pth").is_file()
    assert validations(tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("pretrain_vit_x.py", [], "no config file"),
        ("pretrain_vit_s_words.py", ["--data", "/no/such/folder"], "/no/such/folder"),
        ("pretrain_vit_t.py", ["--data", "words"], "reads no files"),
        ("pretrain_vit_t.py", ["--iterations", "0"], "at least 1 iteration"),
        ("pretrain_vit_t.py", ["--resume", "/no/such.pth"], "no checkpoint /no/such.pth"),
        (
            "pretrain_vit_t.py",
            ["--cfg-options", "model.data_preprocessor.mask_generator.ratio=1.0"],
            "mask ratio must lie between 0 and 1",
        ),
        (
            "pretrain_vit_t.py",
            ["--cfg-options", "model.data_preprocessor.mask_generator.mode=both"],
            "mode must be 'mixed' or 'joint'",
        ),
        (
            "pretrain_vit_t.py",
            ["--cfg-options", "model.backbone.img_size=(30,128)"],
            "image size 30×128 is not divisible by the patch size 4",
        ),
    ],
)
def test_bad_input_gives_one_line(config, tmp_path, capfd, name, options, message):
    status = training.main([str(config / name), "--work-dir", str(tmp_path), *options])
    assert status == 2
    written = capfd.readouterr().err.strip().splitlines()
    complaints = [line for line in written if line.startswith("train.py: ")]
    assert len(complaints) == 1
    assert message in complaints[0]
    assert not any("Traceback" in line for line in written)


@pytest.mark.parametrize("kind", ["absent", "other", "garbage"])
def test_testing_a_wrong_checkpoint_gives_one_line(config, tmp_path, capfd, kind):
    path = tmp_path / "weights.pth"
    if kind == "other":
        torch.save({"state_dict": {"a": torch.ones(1)}}, path)
    if kind == "garbage":
        path.write_bytes(b"no weights")
    options = ["--work-dir", str(tmp_path), "--cfg-options", *LITTLE, *RENDERED]
    assert testing.main([str(config / "pretrain_vit_t.py"), str(path), *options]) == 2
    (line,) = [x for x in capfd.readouterr().err.splitlines() if x.startswith("test.py: ")]
    assert str(path) in line
