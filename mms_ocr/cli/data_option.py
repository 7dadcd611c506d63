"""The data sets of a config, and ``--data``, which has them read other files."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from mms_ocr.registry import type_name
from mms_ocr.utils.errors import warn
from mms_ocr.utils.output_checks import folder_around

PARTS = ("train", "val", "test")


def set_data(cfg: Config, paths: Sequence[str], parts: Sequence[str] = PARTS) -> None:
    """Set the paths of every data set of a config that reads files, also inside wrappers.

    Args:
        cfg: The config; changed.
        paths: What is read.
        parts: Of the loaders that are used: ``'train'``, ``'val'``, ``'test'``.

    Raises:
        ValueError: In the loaders that are used, no data set reads files, or one has no ``path``.
    """
    reached = False
    for part in PARTS:
        for place, dataset in data_sets_of(cfg, part):
            kind = type_name(dataset)
            if "path" in dataset:
                dataset["path"] = list(paths)
                reached |= part in parts
            elif part in parts and kind != "RenderedWordDataset":
                raise ValueError(
                    f"--data does not reach {place} of {cfg.filename}: {kind} has no path; write "
                    "its data into the config, and leave --data out"
                )
    if not reached:
        raise ValueError(
            f"--data was given, and {cfg.filename} reads no files; use a config of your own data, "
            f"such as {_config_of_files(Path(cfg.filename or 'config.py'))}"
        )


def check_data(cfg: Config, parts: Sequence[str]) -> None:
    """Check that the word images of a config exist; warn of a work folder among them.

    Data sets of pairs, or of a form of their own, report by themselves what they lack.

    Args:
        cfg: The config.
        parts: Of the loaders to look at: ``'train'``, ``'val'``, ``'test'``.

    Raises:
        FileNotFoundError: The path of a data set does not exist.
    """
    for part in parts:
        for _, dataset in data_sets_of(cfg, part):
            path, kind = dataset.get("path"), type_name(dataset)
            paths = [path] if isinstance(path, str) else list(path or ())
            if cfg.get("work_dir") and (around := folder_around(cfg.work_dir, paths)):
                warn(
                    f"the work folder {cfg.work_dir} is in {around}, which is read: the next run "
                    "reads the pictures of this one as words; give a --work-dir outside"
                )
            if kind == "WordImageDataset" and isinstance(path, str) and not os.path.exists(path):
                raise FileNotFoundError(
                    f"there is no data at {path!r}, where {cfg.filename} looks for it: give "
                    "--data PATH …"
                )


def check_holdout(cfg: Config) -> None:
    """Warn where validation uses words that are trained on, as the two holdouts do not match."""
    for place, train in data_sets_of(cfg, "train"):
        for held_out_place, held_out in data_sets_of(cfg, "val"):
            same = "path" in train and train["path"] == held_out.get("path")
            own, other = train.get("holdout") or {}, held_out.get("holdout")
            if not same or not other or _is_apart(own, other):
                continue
            print_log(
                f"{held_out_place} validates on words that {place} trains on: their holdout is "
                f"{dict(other)} and {dict(own) or None}; give both the same share and seed, and "
                "part='val' and part='train'",
                logger="current",
                level=logging.WARNING,
            )


def _is_apart(train: Mapping[str, Any], val: Mapping[str, Any]) -> bool:
    return (
        train.get("part") == "train"
        and val.get("part") == "val"
        and train.get("seed", 0) == val.get("seed", 0)
        and train.get("share", 0) >= val.get("share", 0)
    )


def check_ends(cfg: Config) -> None:
    """Refuse a validation or test that would never end.

    Raises:
        ValueError: Its sampler has no end.
    """
    for part in ("val", "test"):
        for name, loader in loaders_of(cfg, part):
            kind = type_name(loader.get("sampler") or {})
            if kind in ("EndlessSampler", "InfiniteSampler"):
                raise ValueError(
                    f"{name}.sampler is {kind}, which has no end; set it to "
                    "dict(type='DefaultSampler', shuffle=False)"
                )


def _config_of_files(config: Path) -> Path:
    """The config beside one of rendered words that reads files in their place."""
    stem = config.stem.removesuffix("_rendered")
    stems = [stem, re.sub("vit_[ntb]", "vit_s", stem)]  # every kind of data exists for ViT-S
    beside = [
        config.with_name(f"{name}_{data}.py") for name in stems for data in ("words", "pairs")
    ]
    beside.append(Path("configs/mms/pretrain_vit_s_words.py"))
    return next((path for path in beside if path.is_file()), beside[-1])


def data_sets_of(cfg: Config, part: str) -> Iterator[tuple[str, dict]]:
    """Yield the data sets of a loader that wrap no others, each after its place in the config."""
    for name, loader in loaders_of(cfg, part):
        yield from _innermost(f"{name}.dataset", loader.get("dataset"))


def loaders_of(cfg: Config, part: str) -> Iterator[tuple[str, dict]]:
    """Yield the loader of a part, or all of a list, each after its place in the config."""
    name = f"{part}_dataloader"
    given = cfg.get(name) or []
    if isinstance(given, dict):
        yield name, given
    else:
        yield from ((f"{name}.{number}", loader) for number, loader in enumerate(given))


def _innermost(place: str, dataset: Any) -> Iterator[tuple[str, dict]]:
    if isinstance(dataset, list | tuple):
        for number, part in enumerate(dataset):
            yield from _innermost(f"{place}.{number}", part)
    elif isinstance(dataset, dict):
        wrapped = [key for key in ("dataset", "datasets") if key in dataset]
        for key in wrapped:
            yield from _innermost(f"{place}.{key}", dataset[key])
        if not wrapped:
            yield place, dataset
