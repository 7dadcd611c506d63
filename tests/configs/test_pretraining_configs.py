"""Every pretraining config builds and differs only in what its name says."""

from pathlib import Path

import mmengine.registry
import pytest
import torch
from mmengine.config import Config, ConfigDict

import mms_ocr.registry
from mms_ocr.engine import set_iterations
from mms_ocr.registry import MODELS, TASK_UTILS

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
NAMES = sorted(path.relative_to(CONFIGS / "mms").as_posix() for path in CONFIGS.glob("mms/**/*.py"))


def load(name):
    return Config.fromfile(CONFIGS / "mms" / name)


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


def test_folder_holds_the_expected_configs():
    expected = {f"pretrain_vit_{size}.py" for size in "ntsb"}
    expected |= {f"pretrain_vit_s_{data}.py" for data in ("words", "union14m")}
    ablations = ("random_patch", "blockwise", "span", "joint", "joint_contrastive")
    assert expected | {f"ablation/{name}.py" for name in ablations} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_models_build_on_their_grid(name):
    cfg = load(name)
    with torch.device("meta"):
        model = MODELS.build(cfg.model)
    grid = (4, 32) if "vit_n" in name else (8, 32)
    assert model.backbone.grid == model.data_preprocessor.mask_generator.grid == grid
    assert model.neck.grid == grid
    widths = {"nano": 128, "tiny": 192, "small": 384, "base": 768}
    assert model.backbone.embed_dims == widths[cfg.model.backbone.arch]
    assert [strategy.name for strategy in model.data_preprocessor.mask_generator.strategies] == [
        "random_patch",
        "blockwise",
        "span",
    ]


def test_masks_follow_the_study_and_one_option_changes_all_ratios():
    cfg = load("pretrain_vit_n.py")
    masks = TASK_UTILS.build(cfg.model.data_preprocessor.mask_generator)
    assert [strategy.ratio for strategy in masks.strategies] == [0.75, 0.6, 0.6]
    cfg.merge_from_dict({"model.data_preprocessor.mask_generator.ratio": 0.5})
    masks = TASK_UTILS.build(cfg.model.data_preprocessor.mask_generator)
    assert [strategy.ratio for strategy in masks.strategies] == [0.5] * 3


def own_types():
    registries = (getattr(mms_ocr.registry, name) for name in mms_ocr.registry.__all__)
    names = set()
    for registry in registries:
        registry.import_from_location()
        names |= set(registry.module_dict)
    return names


def types_in(value):
    if isinstance(value, dict):
        if isinstance(value.get("type"), str):
            yield value["type"]
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from types_in(part)


@pytest.mark.parametrize("name", NAMES)
def test_own_types_are_written_with_their_scope(name):
    own, written = own_types(), set(types_in(load(name).to_dict()))
    assert "mms_ocr.MMS" in written
    assert not own & written
    assert {kind.removeprefix("mms_ocr.") for kind in written if kind.startswith("mms_ocr.")} <= own


@pytest.mark.parametrize(("size", "arch"), [("t", "tiny"), ("b", "base")])
def test_sizes_differ_in_the_encoder_only(size, arch):
    changed = difference(f"pretrain_vit_{size}.py", "pretrain_vit_s.py")
    assert changed == {"model.backbone.arch": arch}


@pytest.mark.parametrize("kind", ["_words", "_union14m"])
def test_data_differ_in_the_data_only(kind):
    changed = difference(f"pretrain_vit_s{kind}.py", "pretrain_vit_s.py")
    heads = {key.split(".")[0] for key in changed}
    assert heads <= {"train_dataloader", "val_dataloader", "test_dataloader", "data_path", "share"}
    cfg = load(f"pretrain_vit_s{kind}.py")
    train, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    assert train.type == val.type == "mms_ocr.WordImageDataset"
    assert train.path == val.path
    assert (train.holdout.part, val.holdout.part) == ("train", "val")
    assert train.holdout.share == val.holdout.share
    assert cfg.test_dataloader == cfg.val_dataloader


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("random_patch", {"weights.1": 0, "weights.2": 0}),
        ("blockwise", {"weights.0": 0, "weights.2": 0}),
        ("span", {"weights.0": 0, "weights.1": 0}),
        ("joint", {"mode": "joint"}),
    ],
)
def test_ablations_differ_in_the_masks_only(name, expected):
    prefix = "model.data_preprocessor.mask_generator"
    changed = difference(f"ablation/{name}.py", "pretrain_vit_s.py")
    assert changed == {f"{prefix}.{key}": value for key, value in expected.items()}


def test_the_contrastive_ablation_adds_the_term():
    changed = difference("ablation/joint_contrastive.py", "ablation/joint.py")
    assert {key.rpartition(".")[0] for key in changed} == {"model.contrast"}
    with torch.device("meta"):
        assert MODELS.build(load("ablation/joint_contrastive.py").model).contrast is not None


@pytest.mark.parametrize("name", ["pretrain_vit_s.py", "pretrain_vit_s_union14m.py"])
def test_schedule_is_that_of_maerec(name):
    cfg = load(name)
    assert cfg.optim_wrapper.optimizer == ConfigDict(
        type="AdamW", lr=1.5e-4, betas=(0.9, 0.95), weight_decay=0.05
    )
    assert cfg.auto_scale_lr == ConfigDict(enable=True, base_batch_size=256)
    warm_up, cosine = cfg.param_scheduler
    total = cfg.train_cfg.max_iters
    assert (warm_up.begin, warm_up.end, cosine.begin, cosine.end) == (
        0,
        total / 10,
        total / 10,
        total,
    )
    assert cosine.T_max == cosine.end - cosine.begin
    set_iterations(cfg, 200)
    assert cfg.param_scheduler[1].end == cfg.train_cfg.max_iters == 200


def test_weight_decay_spares_biases_norms_and_tokens():
    cfg = load("pretrain_vit_t.py")
    model = MODELS.build(cfg.model)
    settings = cfg.optim_wrapper.copy()
    settings.type = "OptimWrapper"
    wrapper = mmengine.optim.build_optim_wrapper(model, settings)
    names = {id(value): name for name, value in model.named_parameters()}
    groups = wrapper.optimizer.param_groups
    assert len(groups) <= 3
    in_groups = set()
    for group in groups:
        for value in group["params"]:
            name = names[id(value)]
            in_groups.add(name)
            is_exempt = value.ndim == 1 or name.endswith(("cls_token", "mask_token"))
            assert group["weight_decay"] == (0 if is_exempt else 0.05), name
    assert in_groups == {name for name, value in model.named_parameters() if value.requires_grad}
