"""The data sets of a config, and ``--data``, which replaces their paths."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config

from mms_ocr.registry import type_name
from mms_ocr.utils.errors import warn
from mms_ocr.utils.output_checks import folder_around

PARTS = ("train", "val", "test")


def loaders_of(cfg: Config, part: str) -> Iterator[tuple[str, dict]]:
    """Yield the loaders of ``'train'``, ``'val'`` or ``'test'``, each after its key."""
    name = f"{part}_dataloader"
    loaders = cfg.get(name) or []
    if isinstance(loaders, dict):
        yield name, loaders
    else:
        yield from ((f"{name}.{number}", loader) for number, loader in enumerate(loaders))


def datasets_of(cfg: Config, part: str) -> Iterator[tuple[str, dict]]:
    """Yield the data sets that wrap no others of a part's loaders, each after its key."""
    for name, loader in loaders_of(cfg, part):
        yield from _innermost(f"{name}.dataset", loader.get("dataset"))


def set_data(cfg: Config, paths: Sequence[str], parts: Sequence[str] = PARTS) -> None:
    """Set the paths of every data set of a config that reads files, also inside wrappers.

    Raises ValueError if in ``parts``, which are used, no data set reads files or one has no path.
    """
    changed = False
    for part in PARTS:
        for key, dataset in datasets_of(cfg, part):
            kind = type_name(dataset)
            if "path" in dataset:
                dataset["path"] = list(paths)
                changed |= part in parts
            elif part in parts and kind != "RenderedWordDataset":
                raise ValueError(
                    f"--data does not reach {key} of {cfg.filename}: {kind} has no path; write "
                    "its data into the config, and omit --data"
                )
    if not changed:
        raise ValueError(
            f"--data was given, and {cfg.filename} reads no files; use a config that does: the "
            "names of bundled ones end in _words or _pairs"
        )


def check_data(cfg: Config, parts: Sequence[str]) -> None:
    """Raise FileNotFoundError if word images are missing; warn of a work folder among them."""
    for part in parts:
        for _, dataset in datasets_of(cfg, part):
            path, kind = dataset.get("path"), type_name(dataset)
            paths = [path] if isinstance(path, str) else list(path or ())
            if cfg.get("work_dir") and (around := folder_around(cfg.work_dir, paths)):
                warn(
                    f"the work folder {cfg.work_dir} is in {around}, which is read: the next run "
                    "reads the pictures of this one as words; give a --work-dir outside"
                )
            if kind == "WordImageDataset" and isinstance(path, str) and not os.path.exists(path):
                raise FileNotFoundError(
                    f"no data at {path!r}, which {cfg.filename} reads: give --data PATH …"
                )


def check_holdout(cfg: Config) -> None:
    """Warn if validation uses words that are trained on, since the two holdouts do not match."""
    for train_key, train in datasets_of(cfg, "train"):
        for val_key, val in datasets_of(cfg, "val"):
            same = "path" in train and train["path"] == val.get("path")
            train_holdout, val_holdout = train.get("holdout") or {}, val.get("holdout")
            if same and val_holdout and not _is_disjoint(train_holdout, val_holdout):
                warn(
                    f"{val_key} validates on words that {train_key} trains on: their holdout is "
                    f"{dict(val_holdout)} and {dict(train_holdout) or None}; give both the same "
                    "share and seed, and part='val' and part='train'"
                )


def check_ends(cfg: Config) -> None:
    """Raise ValueError if validation or test would never end."""
    for part in ("val", "test"):
        for name, loader in loaders_of(cfg, part):
            kind = type_name(loader.get("sampler") or {})
            if kind in ("EndlessSampler", "InfiniteSampler"):
                raise ValueError(
                    f"{name}.sampler is {kind}, which is endless; set it to "
                    "dict(type='DefaultSampler', shuffle=False)"
                )


def _is_disjoint(train: Mapping[str, Any], val: Mapping[str, Any]) -> bool:
    return (
        train.get("part") == "train"
        and val.get("part") == "val"
        and train.get("seed", 0) == val.get("seed", 0)
        and train.get("share", 0) >= val.get("share", 0)
    )


def _innermost(key: str, dataset: Any) -> Iterator[tuple[str, dict]]:
    if isinstance(dataset, list | tuple):
        for number, part in enumerate(dataset):
            yield from _innermost(f"{key}.{number}", part)
    elif isinstance(dataset, dict):
        wrapped = [name for name in ("dataset", "datasets") if name in dataset]
        for name in wrapped:
            yield from _innermost(f"{key}.{name}", dataset[name])
        if not wrapped:
            yield key, dataset
