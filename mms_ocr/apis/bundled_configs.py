"""Bundled configs, found by name."""

from __future__ import annotations

from pathlib import Path

import mms_ocr


def config_folder() -> Path:
    """Return the folder of the bundled configs, of the checkout or the installed package.

    Raises:
        FileNotFoundError: The package has no configs.
    """
    package = Path(mms_ocr.__file__).resolve().parent
    for folder in (package.parent / "configs", package / ".mim" / "configs"):
        if (folder / "_base_").is_dir():
            return folder
    raise FileNotFoundError(f"no configs beside {package}: install the package again")


def find_config(name: str, below: str = "") -> Path:
    """Find a config by its path, or a bundled one by its path below ``configs/`` or its name.

    The suffix ``.py`` may be left out. ``below`` is the folder of ``configs/`` to search, such as
    ``'textrecog'``. Raises FileNotFoundError if there is none, and ValueError if there are several.
    """
    if Path(name).is_file():
        return Path(name)
    folder = config_folder()
    file = name.removesuffix(".py") + ".py"
    if (folder / file).is_file():
        return folder / file
    bundled = [
        path
        for path in sorted((folder / below).rglob("*.py"))
        if "_base_" not in path.parts
        and path.parent.name != "dicts"
        and not path.name.startswith("_")  # a base of its neighbors
    ]
    matches = [path for path in bundled if path.as_posix().endswith(f"/{file}")]
    if len(matches) > 1:
        listed = " or ".join(str(path.relative_to(folder)) for path in matches)
        raise ValueError(f"which config is {name!r}: {listed}?")
    if not matches:
        names = ", ".join(path.relative_to(folder / below).as_posix()[:-3] for path in bundled)
        raise FileNotFoundError(f"no config {name!r}: give a file, or one of {names}")
    return matches[0]
