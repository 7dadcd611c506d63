"""Trained models: the config of a checkpoint, and the model with its weights."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import DefaultScope
from torch import Tensor

from mms_ocr.apis.bundled_configs import find_config
from mms_ocr.apis.tasks import RECOGNITION, SEGMENTATION, SUPER_RESOLUTION, TASKS, Task
from mms_ocr.apis.zoo import read_zoo
from mms_ocr.models.weights import load_model, read_checkpoint
from mms_ocr.models.weights.loading import task_of
from mms_ocr.models.weights.naming import strip_prefix
from mms_ocr.registry import MODELS, type_name
from mms_ocr.utils.bundled import CHECKPOINT_SUFFIXES, SCHEME
from mms_ocr.utils.config_files import read_config_file
from mms_ocr.utils.dictionaries import check_dictionaries
from mms_ocr.utils.reader_folder import READER_CONFIG, READER_WEIGHTS

_RUN_STAMP = re.compile(r"_\d{8}_\d{6}$")  # MMEngine appends it to the config's name
_WIDTH_KEY = "backbone.patch_embed.projection.bias"
_SIZES = {128: "n", 192: "t", 384: "s", 768: "b"}


def find_task(weights: str) -> Task:
    """Find the task of a checkpoint or of ``mms_ocr://NAME`` by its weights.

    Raises:
        ValueError: They are those of no model of ours, or of an encoder alone.
    """
    entry = read_zoo().get(weights.removeprefix(SCHEME)) if weights.startswith(SCHEME) else None
    if entry:
        return next(task for task in TASKS if task.folder == Path(entry["Config"]).parts[1])
    kind = task_of(_state_dict(weights, read_checkpoint(weights)))
    for task in TASKS:
        if task.noun in kind:
            return task
    raise ValueError(
        f"{weights} holds the weights of {kind or 'another program'}, which name no task: give "
        "the config that they belong to"
    )


def read_config(config: str | os.PathLike[str] | Config, below: str = "") -> Config:
    """Read a config: a file, the name of a bundled one below a folder, or a Config, as a copy.

    Raises:
        FileNotFoundError: There is no such config.
        ValueError: It is a checkpoint, or wrong.
    """
    if isinstance(config, Config):
        return copy.deepcopy(config)  # Config.copy() is shallow
    if Path(config).suffix in CHECKPOINT_SUFFIXES:
        raise ValueError(f"the config {os.fspath(config)} is a checkpoint; weights come first")
    return read_config_file(str(find_config(os.fspath(config), below)))


def load_config(
    config: str | os.PathLike[str] | Config | None, weights: str | os.PathLike[str], task: Task
) -> Config:
    """Load the config of a trained model, as a copy.

    ``config`` is a file, the name of a bundled config, or a Config. None takes the bundled config
    that the checkpoint was trained with, that beside ``reader.safetensors`` in a folder that
    ``mms-ocr adapt`` wrote, or else one that fits its weights. Raises ValueError if no
    bundled config fits, or the config is of another task.
    """
    if config is None:
        config = _config_for_checkpoint(os.fspath(weights), task)
    cfg = read_config(config, task.folder)
    model = cfg.get("model") or {}
    is_other = type_name(model) in (SEGMENTATION.model, SUPER_RESOLUTION.model)
    is_recognizer = bool(model.get("decoder")) and not is_other
    if type_name(model) != task.model and not (task is RECOGNITION and is_recognizer):
        where = cfg.filename or "the config"
        raise ValueError(f"{where} describes no {task.noun}: its model is {model.get('type')}")
    return cfg


def _config_for_checkpoint(weights: str, task: Task) -> Path:
    entry = read_zoo().get(weights.removeprefix(SCHEME)) if weights.startswith(SCHEME) else None
    if entry and Path(entry["Config"]).parts[1] == task.folder:
        return find_config(entry["Config"].removeprefix("configs/"))
    reader_config = Path(weights).with_name(READER_CONFIG)
    if Path(weights).name == READER_WEIGHTS and reader_config.is_file():
        return reader_config
    checkpoint = read_checkpoint(weights)
    meta = checkpoint.get("meta")
    run = meta.get("experiment_name") if isinstance(meta, Mapping) else None
    name = _RUN_STAMP.sub("", run) if isinstance(run, str) else ""
    if re.fullmatch(r"[\w-]+", name):
        try:
            return find_config(name, task.folder)
        except FileNotFoundError:
            pass  # a user config
    state_dict = _state_dict(weights, checkpoint)
    kind = task_of(state_dict)
    if kind and task.noun not in kind:
        raise ValueError(f"{weights} holds the weights of {kind}, which is no {task.noun}")
    origin = "does not say"
    if name:
        origin = f"was trained with {name!r}, none of the bundled {task.noun} configs"
    beside = Path(weights).parent / f"{Path(name).name}.py"  # where a run stores its config
    config = _config_for_weights(state_dict, task)
    # The config of a recognizer may prepare images differently, which weights do not show.
    if config and not (task is RECOGNITION and beside.is_file()):
        line = f"using the config {config} for {weights}: the checkpoint {origin}, and its weights"
        print_log(f"{line} are of this kind", logger="current")
        return find_config(config, task.folder)
    example = f", such as {beside}" if beside.is_file() else ""
    raise ValueError(
        f"the config of {weights} is needed (the checkpoint {origin}): give the file that the "
        f"{task.noun} was trained with{example}, or the name of a bundled config"
    )


def _state_dict(weights: str, checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    return strip_prefix(checkpoint["state_dict"], {_WIDTH_KEY: None}, weights)


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

    No code in the checkpoint is run, and all of its weights have to fit (else ValueError).
    """
    check_dictionaries(cfg.model)
    settings = copy.deepcopy(cfg.model)
    if (settings.get("decoder") or {}).get("auxiliary"):
        settings.decoder.auxiliary = None  # it is used in training alone
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "mms_ocr")):
        model = MODELS.build(settings)
    try:
        load_model(model, os.fspath(weights))
    except ValueError as error:
        # The config may be chosen by the checkpoint, so it is named.
        raise ValueError(f"{error} (config: {cfg.filename or 'as given'})") from error
    return model.to(device).eval()
