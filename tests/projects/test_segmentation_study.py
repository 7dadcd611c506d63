"""The study of segmentation: what it trains, measures, draws and prints."""

import sys

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mms_ocr.registry import MODELS

CHANGES = """
model['backbone']['arch'] = dict(
    _delete_=True, embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=48)
model['decoder'] = dict(decoder_embed_dim=24)
"""


@pytest.fixture
def study(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "projects" / "studies"))
    import segmentation

    yield segmentation
    for name in ("segmentation", "runs"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("is_light", [True, False])
def test_otsu_treats_the_smaller_side_as_text(study, is_light):
    truth = np.zeros((20, 40), np.uint8)
    truth[5:15, 8:20] = 1
    gray = np.where(truth == is_light, 200, 30).astype(np.uint8)
    image = np.repeat(gray[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(study.otsu_mask(image), truth)


def test_variants_differ_in_the_encoders_weights_only(study):
    arguments = ["--pretrained", "a.pth", "--fonts", "fonts", "--lr", "1e-3", "--workers", "0"]
    args = study.parse_args(arguments)
    configs = {
        variant: Config.fromstring(study.study_config(variant, args), ".py")
        for variant in study.VARIANTS
    }
    init = configs["pretrained"].model.backbone.pop("init_cfg")
    assert init.type == "mms_ocr.PretrainedTextViT"
    assert init.checkpoint.endswith("/a.pth")
    assert configs["random"].model.backbone.pop("init_cfg") is None
    first, second = (configs[variant].to_dict() for variant in study.VARIANTS)
    assert first == second
    assert first["optim_wrapper"]["optimizer"]["lr"] == 1e-3
    assert first["train_dataloader"]["dataset"]["fonts"][0].endswith("/fonts")
    assert first["train_dataloader"]["dataset"]["font_part"] == "train"
    words = first["val_dataloader"]["dataset"]
    assert words["font_part"] == "val"
    assert len({first["train_dataloader"]["dataset"]["seed"], words["seed"], study.TEST_SEED}) == 3


def test_study_needs_weights(study, capsys):
    with pytest.raises(SystemExit):
        study.parse_args([])
    assert "give --pretrained CHECKPOINT" in capsys.readouterr().err


def test_from_trained_weights_to_tables_and_a_sheet(study, tmp_path, capsys):
    """The training itself is tools/train.py's; its result is put in its place."""
    for number in range(5):
        word = np.random.default_rng(number).integers(0, 256, (20, 60, 3), dtype=np.uint8)
        (tmp_path / "real").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "real" / f"{number}.png"), word)
    arguments = ["--variants", "random", "--iterations", "3", "--batch-size", "2", "--count", "4"]
    arguments += ["--workers", "0", "--config", "configs/segmentation/mms_vit_t_seg_rendered.py"]
    arguments += ["--changes", CHANGES, "--real", str(tmp_path / "real"), "--num-real", "3"]
    args = study.parse_args([*arguments, "--device", "cpu", "--work-dir", str(tmp_path / "work")])
    folder = tmp_path / "work" / "random"
    folder.mkdir(parents=True)
    (folder / "study.py").write_text(study.study_config("random", args))
    config = Config.fromfile(folder / "study.py")
    model = MODELS.build(config.model)
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict()), folder / "iter_3.pth")
    (folder / "seconds.txt").write_text("1.5")
    log = folder / "20260101_000000" / "vis_data" / "scalars.json"
    log.parent.mkdir(parents=True)
    log.write_text('{"loss": 1, "step": 1}\n{"foreground/iou_dataset": 0.25, "step": 3}\n')
    study.study(args)
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split("|")[1].strip(): line for line in lines if line.startswith("| ")}
    scores = [float(cell) for cell in rows["random encoder"].split("|")[2:7]]
    segmenter = study.WordSegmenter(str(folder / "iter_3.pth"), config, "cpu")
    measured = study.measure(segmenter, study.test_words(config, 4), args)
    assert scores == pytest.approx([measured[name] for name in study.SCORES], abs=6e-4)
    assert rows["random"].split("|")[2].strip() == "0.250"
    assert "Otsu's threshold" in rows
    sheet = cv2.imread(str(tmp_path / "work" / "real_random.png"))
    assert sheet.shape[1] > 8 * 160


def test_changes_that_drop_the_pretrained_encoder_are_refused(study):
    def config(changes):
        arguments = ["--pretrained", "a.pth", "--changes", changes]
        return study.study_config("pretrained", study.parse_args(arguments))

    with pytest.raises(ValueError, match="replaces the pretrained model"):
        config("model = dict(decoder=dict(decoder_embed_dim=96))")
    assert "96" in config('model["decoder"] = dict(decoder_embed_dim=96)')
