"""Every recognition config builds, trains one step, and differs only in what its name says."""

import json
from pathlib import Path

import cv2
import mmengine.registry
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper

from mms_ocr.cli.data_option import set_data
from mms_ocr.registry import DATASETS, MODELS

pytest.importorskip("mmocr")

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
NAMES = sorted(path.name for path in CONFIGS.glob("textrecog/mms_vit_*.py"))
SIZES = {"n": ("nano", 128), "t": ("tiny", 192), "s": ("small", 384), "b": ("base", 768)}


def load(name):
    return Config.fromfile(CONFIGS / "textrecog" / name)


def flat(value, prefix=""):
    """Leaves of a config by their path."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        return {prefix: value}
    leaves = {}
    for key, part in items:
        leaves |= flat(part, f"{prefix}.{key}" if prefix else str(key))
    return leaves


def difference(child, parent):
    child, parent = flat(load(child).to_dict()), flat(load(parent).to_dict())
    return {
        key: child.get(key) for key in child.keys() | parent if child.get(key) != parent.get(key)
    }


def heads(changed):
    return {key.split(".")[0] for key in changed}


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """Twenty labelled images as JSON lines."""
    folder, rng = tmp_path_factory.mktemp("words"), np.random.default_rng(0)
    lines = []
    for index in range(20):
        image = rng.integers(0, 256, (24, 40 + index, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), image)
        lines.append(json.dumps({"filename": f"{index}.png", "text": f"Ab{index}é"}))
    path = folder / "words.jsonl"
    path.write_text("\n".join(lines))
    return str(path)


def test_folder_holds_the_expected_configs():
    expected = {f"mms_vit_{size}_{kind}_words.py" for size in "ntsb" for kind in ("ar", "ctc")}
    variants = ("ar_rendered", "ar_mixed", "ar_union14m", "ctc_rendered", "ctc_words_probe")
    assert expected | {f"mms_vit_s_{variant}.py" for variant in variants} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_config_builds_and_trains_a_step(name, words):
    """Train with one layer instead of twelve, and one of six in the AR decoder."""
    cfg = load(name)
    mmengine.registry.init_default_scope(cfg.default_scope)
    arch, width = SIZES[name.split("_")[2]]
    assert cfg.model.backbone.arch == arch
    cfg.model.backbone.arch = dict(
        embed_dims=48, num_layers=1, num_heads=2, feedforward_channels=48
    )
    if "_ar_" in name:
        cfg.model.decoder.update(d_input=48, n_layers=1)
    else:
        assert cfg.model.decoder.in_channels == width
        cfg.model.decoder.in_channels = 48
    if cfg.model.backbone.get("frozen_stages"):
        cfg.model.backbone.frozen_stages = 1
    for part in ("train", "val", "test"):
        dataset = cfg[f"{part}_dataloader"].dataset
        for source in dataset.get("datasets", [dataset]):
            if "path" in source:
                source.path = words
                source.holdout.share = 0.5
    train, val = (DATASETS.build(cfg[f"{part}_dataloader"].dataset) for part in ("train", "val"))
    if "path" in cfg.train_dataloader.dataset:
        assert len(train) + len(val) == 20
    model = MODELS.build(cfg.model)
    model.init_weights()
    assert model.decoder.dictionary.num_classes == 94 + (3 if "_ar_" in name else 2)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    model.train()
    losses = model.train_step(pseudo_collate([train[0], train[1]]), wrapper)
    assert torch.isfinite(losses["loss"])
    for key, value in model.named_parameters():
        fixed = key == "backbone.pos_embed" or ("probe" in name and key.startswith("backbone."))
        assert torch.equal(value, before[key]) == fixed, key
    model.eval()
    (sample,) = model.test_step(pseudo_collate([val[0]]))
    assert isinstance(sample.pred_text.item, str)
    assert 0 <= sample.pred_text.confidence <= 1


@pytest.mark.parametrize("kind", ["ar_words", "ctc_words"])
def test_sizes_differ_in_the_model_only(kind):
    for size in "tb":
        changed = difference(f"mms_vit_{size}_{kind}.py", f"mms_vit_s_{kind}.py")
        assert heads(changed) == {"model"}


def test_decoders_differ_in_the_decoder_only():
    changed = difference("mms_vit_s_ctc_words.py", "mms_vit_s_ar_words.py")
    assert heads(changed) == {"model", "dictionary"}
    assert {".".join(key.split(".")[:2]) for key in changed if key.startswith("model")} == {
        "model.decoder"
    }


@pytest.mark.parametrize("data", ["words", "union14m"])
def test_data_differ_in_the_data_only(data):
    changed = difference(f"mms_vit_s_ar_{data}.py", "mms_vit_s_ar_rendered.py")
    assert heads(changed) <= {
        *(f"{part}_dataloader" for part in ("train", "val", "test")),
        *("data_path", "share", "augmentation", "train_pipeline"),
    }
    cfg = load(f"mms_vit_s_ar_{data}.py")
    train, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    assert train.type == val.type == "mms_ocr.WordImageDataset"
    assert train.labelled
    assert val.labelled
    assert train.path == val.path
    assert (train.holdout.part, val.holdout.part) == ("train", "val")
    assert train.holdout.share == val.holdout.share
    assert cfg.test_dataloader == cfg.val_dataloader
    assert [step.type for step in val.pipeline] == [
        "mms_ocr.ResizeWordImage",
        "mms_ocr.PackLabelledWord",
    ]
    assert "mms_ocr.WarpWord" in flat(train.pipeline).values()


def test_mixed_data_are_own_and_rendered_words(words):
    changed = difference("mms_vit_s_ar_mixed.py", "mms_vit_s_ar_words.py")
    assert heads(changed) == {"train_dataloader", "rendered"}
    cfg = load("mms_vit_s_ar_mixed.py")
    rendered, own = cfg.train_dataloader.dataset.datasets
    assert own == load("mms_vit_s_ar_words.py").train_dataloader.dataset
    expected = load("mms_vit_s_ar_rendered.py").train_dataloader.dataset
    assert rendered == expected
    set_data(cfg, [words])
    assert own.path == cfg.val_dataloader.dataset.path == cfg.test_dataloader.dataset.path
    assert own.path == [words]
    own.holdout.share = 0.5
    mixed = DATASETS.build(cfg.train_dataloader.dataset)
    assert len(mixed) == pytest.approx(2_000_000, rel=0.01)


def test_probes_freeze_the_encoder():
    changed = difference("mms_vit_s_ctc_words_probe.py", "mms_vit_s_ctc_words.py")
    assert changed == {
        "model.backbone.frozen_stages": 12,
        "model.decoder.pooling": "attention",
        "optim_wrapper.optimizer.lr": 1e-3,
        "optim_wrapper.optimizer.weight_decay": 0.0,
        "optim_wrapper.paramwise_cfg.layer_decay_rate": 1.0,
    }
