"""Trained models: the config of a checkpoint, and the model with its weights."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import DefaultScope
from torch import Tensor

from mms_ocr.apis.bundled_configs import find_config
from mms_ocr.apis.zoo import default_weights, read_zoo
from mms_ocr.models.weights import load_model, read_checkpoint
from mms_ocr.models.weights.loading import task_of
from mms_ocr.models.weights.naming import strip_prefix
from mms_ocr.registry import MODELS, type_name
from mms_ocr.utils.bundled import CHECKPOINT_SUFFIXES, SCHEME, name_checkpoint
from mms_ocr.utils.dictionaries import check_dictionaries

_RUN_STAMP = re.compile(r"_\d{8}_\d{6}$")  # MMEngine appends it to the config's name
_WIDTH_KEY = "backbone.patch_embed.projection.bias"
_SIZES = {128: "n", 192: "t", 384: "s", 768: "b"}


class Task(NamedTuple):
    """Task of a model.

    Attributes:
        folder: Folder of its configs below ``configs/``.
        noun: Name of its models in messages.
        model: Type of its models, without the scope; None for any of MMOCR's.
        config: Pattern of the bundled configs for checkpoints that name none.
        sizes: Sizes of the encoder that these exist for.
    """

    folder: str
    noun: str
    model: str | None
    config: str = ""
    sizes: str = "nts"


PRETRAINING = Task("mms", "pretraining run", "MMS", sizes="")
RECOGNITION = Task("textrecog", "recognizer", None, "mms_vit_{size}_{kind}_words", "ntsb")
SEGMENTATION = Task("segmentation", "segmentor", "TextSegmentor", "mms_vit_{size}_seg_rendered")
SUPER_RESOLUTION = Task(
    "super_resolution", "super-resolution", "TextSuperResolver", "mms_vit_{size}_sr_words"
)


def choose_weights(weights: str | os.PathLike[str] | None, task: Task) -> str:
    """Resolve weights to a file or ``mms_ocr://NAME``; None is the first bundled ones of a task.

    Raises:
        FileNotFoundError: No such weights are bundled.
    """
    return default_weights(task.folder, task.noun) if weights is None else name_checkpoint(weights)


def load_config(
    config: str | os.PathLike[str] | Config | None, weights: str | os.PathLike[str], task: Task
) -> Config:
    """Load the config of a trained model, as a copy.

    Args:
        config: A file, the name of a bundled config, or a Config. None takes the bundled config
            that the checkpoint was trained with, else one that fits its weights.
        weights: The checkpoint, see :func:`choose_weights`; only read if ``config`` is None.
        task: Task of the model.

    Raises:
        FileNotFoundError: There is no such config or checkpoint.
        ValueError: No bundled config fits the checkpoint, or the config is of another task.
    """
    if config is None:
        config = _config_for_checkpoint(os.fspath(weights), task)
    elif not isinstance(config, Config) and Path(config).suffix in CHECKPOINT_SUFFIXES:
        raise ValueError(f"the config {os.fspath(config)} is a checkpoint; weights come first")
    if isinstance(config, Config):
        cfg = copy.deepcopy(config)  # Config.copy() is shallow
    else:
        cfg = Config.fromfile(find_config(os.fspath(config), task.folder))
    model = cfg.get("model") or {}
    kind = type_name(model)
    if task.model is None:
        others = (SEGMENTATION.model, SUPER_RESOLUTION.model)
        fits = bool(model.get("decoder")) and kind not in others
    else:
        fits = kind == task.model
    if not fits:
        where = cfg.filename or "the config"
        raise ValueError(f"{where} describes no {task.noun}: its model is {model.get('type')}")
    return cfg


def _config_for_checkpoint(weights: str, task: Task) -> Path:
    entry = read_zoo().get(weights.removeprefix(SCHEME)) if weights.startswith(SCHEME) else None
    if entry and Path(entry["Config"]).parts[1] == task.folder:
        return find_config(entry["Config"].removeprefix("configs/"))
    checkpoint = read_checkpoint(weights)
    meta = checkpoint.get("meta")
    run = meta.get("experiment_name") if isinstance(meta, Mapping) else None
    name = _RUN_STAMP.sub("", run) if isinstance(run, str) else ""
    if re.fullmatch(r"[\w-]+", name):
        try:
            return find_config(name, task.folder)
        except FileNotFoundError:
            pass  # a user config
    state_dict = strip_prefix(checkpoint["state_dict"], {_WIDTH_KEY: None}, weights)
    held = task_of(state_dict)
    if held and task.noun not in held:
        raise ValueError(f"{weights} holds the weights of {held}, which is no {task.noun}")
    of_what = "does not say"
    if name:
        of_what = f"was trained with {name!r}, none of the bundled {task.noun} configs"
    beside = Path(weights).parent / f"{Path(name).name}.py"  # where a run stores its config
    alike = _config_for_weights(state_dict, task)
    # The config of a recognizer may prepare images differently, which weights do not show.
    if alike and not (task is RECOGNITION and beside.is_file()):
        print_log(
            f"using the config {alike} for {weights}: the checkpoint {of_what}, and its weights "
            "are of this kind",
            logger="current",
        )
        return find_config(alike, task.folder)
    example = f", such as {beside}" if beside.is_file() else ""
    raise ValueError(
        f"the config of {weights} is needed (the checkpoint {of_what}): give the file that the "
        f"{task.noun} was trained with{example}, or the name of a bundled config"
    )


def _config_for_weights(weights: Mapping[str, Any], task: Task) -> str:
    """Return the name of the bundled config of this encoder and decoder, '' if there is none."""
    bias = weights.get(_WIDTH_KEY)
    size = _SIZES.get(len(bias), "") if isinstance(bias, Tensor) and bias.dim() else ""
    if not size or size not in task.sizes:
        return ""
    name = task.config.format(size=size, kind="{}")
    if task is not RECOGNITION:
        return name
    modules = {key.partition(".")[0] for key in weights}
    parts = {key.split(".")[1] for key in weights if key.startswith("decoder.")}
    if modules <= {"backbone", "decoder", "data_preprocessor"}:
        if "trg_word_emb" in parts:
            return name.format("ar")
        if parts == {"classifier", "columns"}:
            return name.format("ctc")
        if parts == {"classifier", "row_score"} and size == "s":
            return name.format("ctc") + "_probe"
    return ""


def build_trained(cfg: Config, weights: str | os.PathLike[str], device: str) -> Any:
    """Build the model of a config with trained weights on a device, in evaluation mode.

    No code in the checkpoint is run, and all of its weights have to fit.

    Raises:
        FileNotFoundError: There is no such checkpoint, or no such dictionary file.
        ValueError: It does not fit the model, or a dictionary file is wrong.
    """
    check_dictionaries(cfg.model)
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "mms_ocr")):
        model = MODELS.build(cfg.model)
    try:
        load_model(model, os.fspath(weights))
    except ValueError as error:
        # The config may be chosen by the checkpoint, so it is named.
        raise ValueError(f"{error} (config: {cfg.filename or 'as given'})") from error
    return model.to(device).eval()
