"""The encoder in MMSegmentation, for people who have it: skipped where it is not installed."""

import json

import pytest

from mms_ocr.apis.bundled_configs import config_folder
from mms_ocr.cli import training

pytest.importorskip(
    "mmseg", reason="MMSegmentation is not installed (pip install onedl-mmsegmentation)"
)

SMALL = [
    *(
        f"model.{key}"
        for key in (
            "backbone.arch._delete_=True",
            "backbone.arch.embed_dims=24",
            "backbone.arch.num_layers=12",
            "backbone.arch.num_heads=2",
            "backbone.arch.feedforward_channels=48",
            "decode_head.in_channels=[24,24,24,24]",
            "decode_head.channels=16",
        )
    ),
    "train_dataloader.batch_size=4",
    "val_dataloader.batch_size=3",
    "val_dataloader.dataset.num_samples=5",
    *(
        f"{part}_dataloader.{key}"
        for part in ("train", "val", "test")
        for key in ("num_workers=0", "persistent_workers=False")
    ),
]


def test_mmseg_model_trains_and_both_metrics_agree(tmp_path):
    config = config_folder() / "segmentation" / "mmseg_text_vit_s_segformer.py"
    options = ["--work-dir", str(tmp_path), "--iterations", "2", "--cfg-options", *SMALL]
    assert training.main([str(config), *options]) == 0
    (path,) = tmp_path.rglob("vis_data/scalars.json")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    last = [line for line in lines if "mIoU" in line][-1]
    assert 0 <= last["foreground/iou_dataset"] <= 1
    (log,) = tmp_path.glob("*/*.log")
    row = [line for line in log.read_text().splitlines() if line.strip().startswith("|    text")]
    iou, recall, _, precision, _ = (float(cell) for cell in row[-1].split("|")[2:7])
    assert iou == pytest.approx(100 * last["foreground/iou_dataset"], abs=0.02)
    assert precision == pytest.approx(100 * last["foreground/precision_dataset"], abs=0.02)
    assert recall == pytest.approx(100 * last["foreground/recall_dataset"], abs=0.02)
