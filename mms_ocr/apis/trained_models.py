"""A trained model for use: its config, found by name or by its checkpoint, and its weights."""

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

from mms_ocr.apis.shipped_configs import find_config
from mms_ocr.apis.zoo import default_weights, read_zoo
from mms_ocr.models.weights import load_model, read_checkpoint
from mms_ocr.models.weights.loading import task_of
from mms_ocr.models.weights.naming import strip_prefix
from mms_ocr.registry import MODELS, type_name
from mms_ocr.utils.bundled import CHECKPOINT_SUFFIXES, SCHEME, name_checkpoint
from mms_ocr.utils.dictionaries import check_dictionaries

_RUN_STAMP = re.compile(r"_\d{8}_\d{6}$")  # MMEngine adds it to the name of a run's config
_WIDTH_KEY = "backbone.patch_embed.projection.bias"
_SIZES = {128: "n", 192: "t", 384: "s", 768: "b"}


class Task(NamedTuple):
    """What a model is for.

    Attributes:
        folder: Where its configs lie below ``configs/``.
        noun: What a model of it is called.
        model: Type of its models, without the scope; None for any of MMOCR's.
        config: Name of the bundled config for checkpoints that name none, with the size of the
            encoder and the kind of a recognizer's decoder left open.
        sizes: Those that it exists in.
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
    """The checkpoint that a user means: a file or ``mms_ocr://NAME``.

    Args:
        weights: A file, or bundled weights, with or without ``mms_ocr://``; None for the first
            bundled ones of the task.
        task: What the model has to be for.

    Raises:
        FileNotFoundError: No such weights are bundled.
    """
    return default_weights(task.folder, task.noun) if weights is None else name_checkpoint(weights)


def load_config(
    config: str | os.PathLike[str] | Config | None, weights: str | os.PathLike[str], task: Task
) -> Config:
    """A copy of the config of a trained model.

    Args:
        config: A file, the name of a config that ships, or a Config. None takes the shipped config
            that the checkpoint says it was trained with, else the one that its weights tell.
        weights: The checkpoint, see :func:`choose_weights`; only read where no config is given.
        task: What the model has to be for.

    Raises:
        FileNotFoundError: There is no such config or checkpoint.
        ValueError: The checkpoint does not tell a config that ships, or the config is of another
            task, or no config.
    """
    if config is None:
        config = _config_for_checkpoint(os.fspath(weights), task)
    elif not isinstance(config, Config) and Path(config).suffix in CHECKPOINT_SUFFIXES:
        raise ValueError(f"the config {os.fspath(config)} is a checkpoint; weights come first")
    if isinstance(config, Config):
        cfg = copy.deepcopy(config)  # its own copy() shares what is nested
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
            pass  # a config of the user's own
    state_dict = strip_prefix(checkpoint["state_dict"], {_WIDTH_KEY: None}, weights)
    held = task_of(state_dict)
    if held and task.noun not in held:
        raise ValueError(f"{weights} holds the weights of {held}, which is no {task.noun}")
    of_what = "does not say"
    if name:
        of_what = f"was trained with {name!r}, none of the bundled {task.noun} configs"
    beside = Path(weights).parent / f"{Path(name).name}.py"  # where a run stores its config
    alike = _config_for_weights(state_dict, task)
    # A recognizer's own config may prepare images otherwise, which weights do not show.
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
    """Name of the bundled config of the encoder's size and the decoder's kind; '' if none is."""
    bias = weights.get(_WIDTH_KEY)
    size = _SIZES.get(len(bias), "") if isinstance(bias, Tensor) and bias.dim() else ""
    if not size or size not in task.sizes:
        return ""
    name = task.config.format(size=size, kind="{}")
    if task is not RECOGNITION:
        return name
    rooms = {key.partition(".")[0] for key in weights}
    parts = {key.split(".")[1] for key in weights if key.startswith("decoder.")}
    if rooms <= {"backbone", "decoder", "data_preprocessor"}:
        if "trg_word_emb" in parts:
            return name.format("ar")
        if parts == {"classifier", "columns"}:
            return name.format("ctc")
        if parts == {"classifier", "row_score"} and size == "s":
            return name.format("ctc") + "_probe"
    return ""


def build_trained(cfg: Config, weights: str | os.PathLike[str], device: str) -> Any:
    """The model (a Module) of a config with trained weights, on its device, in evaluation mode.

    Nothing in the checkpoint is run, and all of its weights have to fit.

    Args:
        cfg: Its config.
        weights: Its checkpoint.
        device: One that is there.

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
        # The config may have been found by what the checkpoint tells.
        raise ValueError(f"{error} (config: {cfg.filename or 'as given'})") from error
    return model.to(device).eval()
