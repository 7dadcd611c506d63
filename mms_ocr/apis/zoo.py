"""The bundled weights, described in ``configs/*/metafile.yml``; ``mms-ocr zoo`` lists them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mms_ocr.apis.bundled_configs import config_folder
from mms_ocr.utils.bundled import SCHEME, bundled_file, bundled_names

#: Largest file, and sum of all files, in MB (10^6 bytes).
MAX_FILE, MAX_TOTAL = 16, 32
#: Folders of configs, each with a metafile of its bundled weights.
FOLDERS = ("mms", "textrecog", "segmentation", "super_resolution")
_HEADER = """\
# Bundled weights, in the format of model-index.yml; written by tools/model_converters/bundle.py and
# tools/zoo_check.py --write. Commands use the first model by default.
"""

Entry = dict[str, Any]


def metafile(folder: str) -> Path:
    """Return the path of the metafile of a folder of configs."""
    return config_folder() / folder / "metafile.yml"


def read_zoo() -> dict[str, Entry]:
    """Read the entries of all metafiles by name, whether or not their weights are bundled.

    Raises:
        ValueError: A metafile is damaged.
    """
    entries = {}
    for folder in FOLDERS:
        path = metafile(folder)
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
            entries.update({entry["Name"]: entry for entry in content.get("Models") or []})
        except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"{path} is damaged: {reason}; install the package again") from error
    return entries


def write_zoo(entries: Mapping[str, Entry]) -> None:
    """Replace the entries of all metafiles, each by the folder of its config."""
    from mms_ocr.utils.files import atomic_write

    for folder in FOLDERS:
        models = [entry for entry in entries.values() if Path(entry["Config"]).parts[1] == folder]
        content = yaml.safe_dump({"Models": models}, sort_keys=False, allow_unicode=True, width=100)
        atomic_write(str(metafile(folder)), (_HEADER + content).encode())


def task_of(entry: Entry) -> str:
    """Return ``'encoder'`` for an encoder alone, else the folder of the model's config."""
    part = entry["Metadata"].get("Part", "all")
    return str(Path(entry["Config"]).parts[1] if part == "all" else part)


def default_weights(task: str, noun: str) -> str:
    """Return ``mms_ocr://NAME`` of the first bundled weights of a task; ``noun`` names its models.

    Raises FileNotFoundError if there are none.
    """
    bundled = bundled_names()
    for name, entry in read_zoo().items():
        if name in bundled and task_of(entry) == task:
            return SCHEME + name
    raise FileNotFoundError(
        f"this version bundles no {noun} weights: name some of your own (--weights FILE)"
    )


def size_in_mb(name: str) -> float:
    """Return the size of the file of bundled weights."""
    return bundled_file(name).stat().st_size / 1e6


def format_score(metric: str, value: float) -> str:
    """Format a share in percent, and errors and decibels as numbers, with their names."""
    name = metric.rpartition("/")[0] or metric
    if "error" in metric:
        return f"{name} {value:.3f}"
    return f"{100 * value:.1f}%" if abs(value) <= 1 else f"{name} {value:.2f}"
