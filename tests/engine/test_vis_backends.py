"""MMEngine's visualization backends, as docs/pretraining.md names them."""

import json

import cv2
import numpy as np
import pytest

from mms_ocr.cli import training

CONFIG = """
_base_ = "{base}"
visualizer = dict(
    vis_backends=[dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")]
)
arch = dict(embed_dims=24, num_layers=1, num_heads=3, feedforward_channels=24)
model = dict(
    backbone=dict(arch=dict(arch, _delete_=True)),
    neck=dict(decoder_embed_dim=16, decoder_depth=1, decoder_num_heads=2),
)
small = dict(batch_size=2, num_workers=0, persistent_workers=False)
train_dataloader = small
val_dataloader = dict(small, dataset=dict(num_samples=2))
default_hooks = dict(logger=dict(interval=1))
custom_hooks = [dict(type="mms_ocr.ReconstructionHook", num_images=1)]
"""


def test_tensorboard_has_the_logged_values_and_the_pictures(repository, tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = tmp_path / "on_tensorboard.py"
    config.write_text(CONFIG.format(base=repository / "configs/mms/pretrain_vit_t.py"))
    work_dir = tmp_path / "run"
    assert training.main([str(config), "--work-dir", str(work_dir), "--iterations", "3"]) == 0

    (scalars,) = work_dir.glob("*/vis_data/scalars.json")
    rows = [json.loads(line) for line in scalars.read_text().splitlines()]
    events = EventAccumulator(str(scalars.parent)).Reload()
    losses = [(event.step, event.value) for event in events.Scalars("loss")]
    assert losses == [(row["step"], pytest.approx(row["loss"])) for row in rows if "loss" in row]
    assert [step for step, _ in losses] == [1, 2, 3]
    errors = [row["masked_error/mean"] for row in rows if "masked_error/mean" in row]
    assert [event.value for event in events.Scalars("masked_error/mean")] == pytest.approx(errors)
    pictures = sorted(work_dir.glob("*/pictures/*.png"))
    assert len(pictures) == len(errors) > 0
    for event, path in zip(events.Images("reconstructions"), pictures, strict=True):
        stored = cv2.imdecode(np.frombuffer(event.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
        assert np.array_equal(stored, cv2.imread(str(path)))
