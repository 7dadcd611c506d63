"""The study of super-resolution: its config, its measures and its picture."""

import sys

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement


@pytest.fixture
def study(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "projects" / "studies"))
    import super_resolution

    yield super_resolution
    for name in ("super_resolution", "runs"):
        sys.modules.pop(name, None)


def sample(difference):
    truth = torch.full((3, 32, 128), 0.5)
    images = dict(gt_img=truth, bicubic_img=truth + 0.1, pred_img=truth + difference)
    element = BaseDataElement()
    for name, image in images.items():
        element.set_field(image, name)
    return element


def test_gain_is_paired_with_an_interval(study):
    # -20 dB of 0.1; 0.01 gains 20 dB and 0.1 nothing: mean 10, deviation 10.
    assert study.gain([sample(0.01), sample(0.1)]) == f"+10.00 ± {1.96 * 10 / np.sqrt(2):.2f}"


def test_scores_of_a_field(study):
    samples = [sample(0.01), sample(0.1)]
    assert study.quality(samples, "bicubic_img")[:2] == ["20.00", "20.00"]
    per_image, per_batch, *_ = study.quality(samples, "pred_img")
    assert (per_image, per_batch) == ("30.00", f"{-10 * np.log10((1e-4 + 1e-2) / 2):.2f}")


def test_variants_differ_in_the_encoder_only(study, tmp_path):
    args = study.parse_args(["--words", "words.jsonl", "--work-dir", str(tmp_path)])
    plain, pretrained = (study.study_config(args, encoder) for encoder in (None, "encoder.pth"))
    init_cfg = pretrained.model.backbone.pop("init_cfg")
    assert init_cfg.checkpoint.endswith("/encoder.pth")
    assert plain.model.backbone.pop("init_cfg") is None
    assert plain.to_dict() == pretrained.to_dict()
    rendered, real = plain.train_dataloader.dataset.datasets
    held_out = plain.val_dataloader.dataset
    assert (rendered.type, real.type) == ("mms_ocr.RenderedWordDataset", "mms_ocr.WordImageDataset")
    assert real.path == held_out.path
    assert (real.holdout.part, held_out.holdout.part) == ("train", "val")
    assert real.holdout.share == held_out.holdout.share == 0.1
    assert plain.optim_wrapper.optimizer.lr == args.lr
    assert real.pipeline[0].get("seed") is None
    assert held_out.pipeline[0].seed == 1
    only = study.parse_args(["--words", "words.jsonl", "--rendered-share", "0"])
    assert study.study_config(only, None).train_dataloader.dataset.type == real.type


def test_sheet_has_a_column_for_each_variant(study, tmp_path):
    restored = {"one": [sample(0.1)] * 5, "two": [sample(0.2)] * 5}
    study.draw(restored, 3, tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape == (14 + 3 * 68 + 4, 4 * 260 + 4, 3)


def test_wrong_arguments_give_one_line(study, capsys, monkeypatch, tmp_path):
    with pytest.raises(SystemExit):
        study.parse_args(["--words", "words.jsonl", "--rendered-share", "1"])
    assert "--rendered-share lies in [0, 1), got 1.0" in capsys.readouterr().err
    recognizer = ["--recognizer", "gone.py", "gone.pth"]
    arguments = ["study", "--words", "words.jsonl", "--work-dir", str(tmp_path), *recognizer]
    monkeypatch.setattr(sys, "argv", arguments)
    pytest.importorskip("mmocr")
    with pytest.raises(SystemExit, match=r"super_resolution\.py: no config 'gone\.py'"):
        study.main()
