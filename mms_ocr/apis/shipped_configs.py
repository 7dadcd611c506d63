"""Configs by name: those that ship with the package need no path."""

from __future__ import annotations

from pathlib import Path

import mms_ocr


def config_folder() -> Path:
    """The folder of the configs that ship: of the checkout, or of the installed package.

    Raises:
        FileNotFoundError: There is none.
    """
    package = Path(mms_ocr.__file__).resolve().parent
    for folder in (package.parent / "configs", package / ".mim" / "configs"):
        if (folder / "_base_").is_dir():
            return folder
    raise FileNotFoundError(f"no configs beside {package}: install the package again")


def find_config(name: str, below: str = "") -> Path:
    """A config by its path, or by its name among those that ship.

    Args:
        name: Path of a file; or path below ``configs/`` or bare name, with or without ``.py``.
        below: Folder of ``configs/`` in which names are looked for, such as ``'textrecog'``.

    Raises:
        FileNotFoundError: There is no such config.
        ValueError: Several have that name.
    """
    if Path(name).is_file():
        return Path(name)
    folder = config_folder()
    wanted = name.removesuffix(".py") + ".py"
    if (folder / wanted).is_file():
        return folder / wanted
    shipped = [
        path
        for path in sorted((folder / below).rglob("*.py"))
        if "_base_" not in path.parts
        and path.parent.name != "dicts"
        and not path.name.startswith("_")  # what its neighbours share
    ]
    found = [path for path in shipped if path.as_posix().endswith(f"/{wanted}")]
    if len(found) > 1:
        listed = " or ".join(str(path.relative_to(folder)) for path in found)
        raise ValueError(f"which config is {name!r}: {listed}?")
    if not found:
        names = ", ".join(path.relative_to(folder / below).as_posix()[:-3] for path in shipped)
        raise FileNotFoundError(f"no config {name!r}: give a file, or one of {names}")
    return found[0]
