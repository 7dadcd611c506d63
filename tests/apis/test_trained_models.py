"""Configs of trained models, found by the name of the run or by the width of the encoder."""

import pytest
import torch
from mmengine.config import Config

from mms_ocr.apis.bundled_configs import find_config
from mms_ocr.apis.trained_models import (
    RECOGNITION,
    SEGMENTATION,
    SUPER_RESOLUTION,
    TASKS,
    build_trained,
    find_task,
    load_config,
)
from mms_ocr.registry import MODELS


def checkpoint(tmp_path, run, width):
    bias = torch.zeros(width)
    path = tmp_path / "w.pth"
    meta = dict(experiment_name=f"{run}_20260101_123456")
    torch.save(dict(state_dict={"backbone.patch_embed.projection.bias": bias}, meta=meta), path)
    return path


@pytest.mark.parametrize(
    ("task", "run", "width", "expected"),
    [
        (RECOGNITION, "mms_vit_s_ctc_words", 192, "mms_vit_s_ctc_words"),
        (RECOGNITION, "mine", 192, None),
        (SEGMENTATION, "mms_vit_s_seg_textseg", 192, "mms_vit_s_seg_textseg"),
        (SEGMENTATION, "mine", 192, "mms_vit_t_seg_rendered"),
        (SEGMENTATION, "mine", 24, None),
        (SUPER_RESOLUTION, "mms_vit_t_sr_words", 384, "mms_vit_t_sr_words"),
        (SUPER_RESOLUTION, "../mms_vit_t_sr_words", 384, "mms_vit_s_sr_words"),
        (SUPER_RESOLUTION, "mms_vit_s_seg_textseg", 24, None),
    ],
)
def test_config_by_name_and_width(tmp_path, task, run, width, expected):
    weights = checkpoint(tmp_path, run, width)
    if expected is None:
        message = f"trained with {run!r}, none of the bundled {task.noun} configs"
        with pytest.raises(ValueError, match=rf"w\.pth is needed \(the checkpoint was {message}\)"):
            load_config(None, weights, task)
    else:
        cfg = load_config(None, weights, task)
        assert cfg.filename == str(find_config(expected, task.folder))


@pytest.mark.parametrize(
    ("keys", "folder"),
    [
        (["neck.mask_token"], "mms"),
        (["decoder.classifier.bias"], "textrecog"),
        (["decoder.pred.bias"], "segmentation"),
        ([], "an encoder alone"),
        (None, "another program"),
    ],
)
def test_task_of_a_checkpoint(tmp_path, keys, folder):
    weights = {"x": torch.zeros(1)}
    if keys is not None:
        shapes = {"patch_embed.projection.weight": (24, 3, 4, 4), "patch_embed.projection.bias": 24}
        weights = {f"model.backbone.{key}": torch.zeros(shape) for key, shape in shapes.items()}
        weights |= {f"model.{key}": torch.zeros(16) for key in keys}
    path = tmp_path / "w.pth"
    torch.save(dict(state_dict=weights), path)
    if folder in [task.folder for task in TASKS]:
        assert find_task(str(path)).folder == folder
    else:
        with pytest.raises(ValueError, match=rf"w\.pth .* {folder}"):
            find_task(str(path))


def test_task_of_bundled_weights(repository):
    names = ("mms_vit_n", "mms_vit_n_ctc", "mms_vit_n_seg", "mms_vit_n_sr")
    assert [find_task(f"mms_ocr://{name}") for name in names] == list(TASKS)
    # Copies under other names are known by their weights alone.
    assert [
        find_task(str(repository / f"mms_ocr/zoo/{name}.safetensors")) for name in names
    ] == list(TASKS)


def decoder_of(kind):
    keys = dict(
        ar=["trg_word_emb.weight", "layer_stack.0.norm1.weight", "classifier.bias"],
        ctc=["columns.merge.weight", "columns.norm1.weight", "classifier.bias"],
        probe=["row_score.weight", "classifier.weight", "classifier.bias"],
        mean=["classifier.weight", "classifier.bias"],
        unknown=["rnn.weight", "classifier.bias"],
    )
    return {f"decoder.{key}": torch.zeros(1) for key in keys[kind]}


@pytest.mark.parametrize(
    ("width", "kind", "expected"),
    [
        (192, "ar", "mms_vit_t_ar_words"),
        (384, "ctc", "mms_vit_s_ctc_words"),
        (384, "probe", "mms_vit_s_ctc_words_probe"),
        (768, "probe", None),
        (192, "mean", None),
        (768, "ar", "mms_vit_b_ar_words"),
        (192, "unknown", None),
        (24, "ar", None),
    ],
)
@pytest.mark.parametrize("run", [None, "mine"])
def test_config_of_a_recognizer_by_its_weights(tmp_path, width, kind, expected, run):
    state = {"backbone.patch_embed.projection.bias": torch.zeros(width), **decoder_of(kind)}
    meta = {} if run is None else dict(experiment_name=run)
    path = tmp_path / "w.pth"

    def found(state):
        torch.save(dict(state_dict=state, meta=meta), path)
        return load_config(None, path, RECOGNITION).filename

    if expected is None:
        with pytest.raises(ValueError, match="is needed"):
            found(state)
        return
    assert found(state) == str(find_config(expected, "textrecog"))
    for prefix in ("model.", "module.net."):
        under = {f"{prefix}{key}": value for key, value in state.items()}
        assert found(under) == str(find_config(expected, "textrecog"))
    with pytest.raises(ValueError, match="is needed"):  # SATRN's, NRTR's
        found({**state, "encoder.norm.weight": torch.zeros(1)})
    (tmp_path / "mine.py").write_text("")
    if run:
        # Its images may be prepared otherwise: its own config lies there.
        with pytest.raises(ValueError, match=rf"trained with, such as {tmp_path}/mine\.py"):
            found(state)


def test_a_checkpoint_in_the_place_of_the_config(tmp_path):
    with pytest.raises(ValueError, match=r"config iter_1\.pth is a checkpoint; weights come first"):
        load_config("iter_1.pth", "mms_vit_t_ar_words", RECOGNITION)


def test_a_given_config_is_copied_and_has_to_be_of_the_task():
    cfg = Config(dict(model=dict(type="mms_ocr.TextSegmentor", decoder=dict())))
    loaded = load_config(cfg, "none.pth", SEGMENTATION)
    loaded.model.type = "changed"
    assert cfg.model.type == "mms_ocr.TextSegmentor"
    for task in (RECOGNITION, SUPER_RESOLUTION):
        message = f"the config describes no {task.noun}: its model is mms_ocr.TextSegmentor"
        with pytest.raises(ValueError, match=message):
            load_config(cfg, "none.pth", task)


def test_the_config_beside_a_checkpoint_is_named(tmp_path):
    weights = checkpoint(tmp_path, "mine", 24)
    (tmp_path / "mine.py").write_text("")
    with pytest.raises(
        ValueError, match=rf"trained with, such as {tmp_path}/mine\.py, or the name"
    ):
        load_config(None, weights, SEGMENTATION)


def small(kind, **settings):
    """Config of a small model of images."""
    arch = dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=48)
    model = dict(
        type=f"mms_ocr.{kind}",
        backbone=dict(type="mms_ocr.TextViT", arch=dict(arch, **settings), img_size=(8, 16)),
        decoder=dict(type="mms_ocr.PixelDecoder", decoder_embed_dim=24, decoder_depth=1),
    )
    return Config(dict(model=model))


def saved(tmp_path, weights):
    torch.save(dict(state_dict=weights), tmp_path / "w.pth")
    return tmp_path / "w.pth"


@pytest.mark.parametrize(
    ("kind", "other", "key"),
    [
        ("TextSegmentor", "a super-resolution model", None),
        ("TextSuperResolver", "a segmentor", None),
        ("TextSegmentor", "an encoder alone", ""),
        ("TextSuperResolver", "a recognizer", "decoder.classifier.bias"),
        ("TextSegmentor", "a pretraining run", "neck.mask_token"),
    ],
)
def test_weights_of_another_task_are_named(tmp_path, kind, other, key):
    source = "TextSuperResolver" if kind == "TextSegmentor" else "TextSegmentor"
    weights = MODELS.build(small(source).model).state_dict()
    if key is not None:
        weights = {name: value for name, value in weights.items() if name.startswith("backbone.")}
        weights |= {key: torch.zeros(3)} if key else {}
    message = rf"w\.pth does not fit {kind}: .*; it holds the weights of {other} \(config"
    with pytest.raises(ValueError, match=message) as caught:
        build_trained(small(kind), saved(tmp_path, weights), "cpu")
    assert "\n" not in str(caught.value)


def test_weights_of_another_size(tmp_path):
    weights = MODELS.build(small("TextSegmentor", embed_dims=32).model).state_dict()
    with pytest.raises(ValueError, match="; its encoder is 32 wide, and that of the config 24"):
        build_trained(small("TextSegmentor"), saved(tmp_path, weights), "cpu")


@pytest.mark.parametrize(
    ("keys", "task", "message"),
    [
        (["neck.mask_token"], RECOGNITION, "a pretraining run, which is no recognizer"),
        (["neck.mask_token"], SEGMENTATION, "a pretraining run, which is no segmentor"),
        (["decoder.classifier.weight"], SEGMENTATION, "a recognizer, which is no segmentor"),
    ],
)
def test_weights_of_another_task_raise(tmp_path, keys, task, message):
    path = checkpoint(tmp_path, "pretrain_vit_s_words", 192)
    saved = torch.load(path)
    saved["state_dict"].update({key: torch.zeros(1) for key in keys})
    torch.save(saved, path)
    with pytest.raises(ValueError, match=rf"w\.pth holds the weights of {message}$"):
        load_config(None, path, task)
