"""Collections of fonts: finding the files, splitting them by family, drawing one by weight."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mms_ocr.rendering.faces import FontFace
from mms_ocr.utils.errors import warn
from mms_ocr.utils.walking import list_files

_SUFFIXES = (".ttf", ".otf", ".ttc", ".otc")


class FontCollection:
    """Text fonts from folders, with a weight for each family.

    Every family has the same probability by default, whatever its number of faces. Fonts without
    letters and digits are left out (``skipped``), and so are broken ones of a folder, with a
    warning. The first face of a collection file (``.ttc``) is used.

    Args:
        folders: Folder trees or font files; ``'matplotlib'``, the default, means matplotlib's
            fonts, and ``'system'`` those installed on the machine.
        part: ``'train'`` or ``'val'`` keeps the families whose name hashes into that part, a fifth
            into ``'val'``, so that the parts have no fonts in common; ``None`` keeps all.
        weights: Weight by family name, 1 by default; 0 leaves a family out.

    Raises:
        FileNotFoundError: A folder or file does not exist.
        ValueError: There is no text font, a given font file cannot be read, or a weight is wrong.
    """

    def __init__(
        self,
        folders: str | Sequence[str] | None = None,
        part: str | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        if part not in (None, "train", "val"):
            raise ValueError(f"font_part is {part!r}; give 'train', 'val' or None")
        names = ["matplotlib"] if folders is None else folders
        names = [names] if isinstance(names, (str, os.PathLike)) else list(names)
        self.skipped: list[Path] = []
        self.faces: list[FontFace] = []
        broken: list[str] = []
        for path, is_given in _font_files(names).items():
            try:
                face = FontFace(path)
            except ValueError as error:
                if is_given:
                    raise
                broken.append(str(error))  # systems have bitmap and emoji fonts
                self.skipped.append(path)
                continue
            if face.is_text_font:
                self.faces.append(face)
            else:
                self.skipped.append(path)
        where = ", ".join(map(str, names))
        if not self.faces:
            symbols = len(self.skipped) - len(broken)
            reason = f"{symbols} fonts with symbols only" if symbols else "no font"
            unreadable = f", {len(broken)} unreadable (such as {broken[0]})" if broken else ""
            raise ValueError(
                f"{reason}{unreadable} in {where}; give a folder with .ttf or .otf text fonts"
            )
        if broken and names != ["system"]:
            warn(f"fonts of {where}: left out {len(broken)} as broken, such as {broken[0]}")
        if part is not None:
            self.faces = [face for face in self.faces if family_part(face.family) == part]
        if not self.faces:
            raise ValueError(f"no font of {where} is in font_part={part!r}; give more families")
        # By name, not by folder, so that the order is the same on every machine.
        self.faces.sort(key=lambda face: (face.family, face.path.name, str(face.path)))
        self._cumulative = self._weigh(dict(weights or {}))

    def _weigh(self, weights: dict[str, float]) -> NDArray[np.float64]:
        families = {face.family for face in self.faces}
        unknown = sorted(set(weights) - families)
        if unknown:
            raise ValueError(
                f"font weight for {unknown[0]!r}; there are: {', '.join(sorted(families))}"
            )
        if not all(0 <= weight < math.inf for weight in weights.values()):
            raise ValueError(f"font weights {weights}: give finite weights of at least 0")
        self.faces = [face for face in self.faces if weights.get(face.family, 1) > 0]
        counts = {family: sum(f.family == family for f in self.faces) for family in families}
        if not self.faces:
            raise ValueError(f"font weights {weights} leave no font; give one a weight above 0")
        self.shares = [weights.get(face.family, 1) / counts[face.family] for face in self.faces]
        cumulative = np.cumsum(np.array(self.shares, np.float64))
        return cumulative / cumulative[-1]

    def __len__(self) -> int:
        return len(self.faces)

    def lacking(self, characters: Iterable[str]) -> list[str]:
        """Return the characters that none of the faces can draw, each once, in order."""
        return [char for char in dict.fromkeys(characters) if not self.able(char)]

    def able(self, text: str) -> bool:
        """Return whether one of the faces has every character of the text."""
        characters = set(text)
        return any(all(map(face.can_draw, characters)) for face in self.faces)

    def draw(self, rng: np.random.Generator, text: str) -> FontFace | None:
        """Draw a face that has every character of the text, by weight; None if there is none."""
        characters = set(text)
        for _ in range(20):
            face = self.faces[int(np.searchsorted(self._cumulative, rng.random(), side="right"))]
            if all(map(face.can_draw, characters)):
                return face
        able = [face for face in self.faces if all(map(face.can_draw, characters))]
        return able[int(rng.integers(len(able)))] if able else None


def family_part(family: str) -> str:
    """Return ``'train'`` or ``'val'`` by a hash of the family name, the same on every machine."""
    digest = hashlib.sha256(f"family:{family}".encode()).digest()
    return "val" if int.from_bytes(digest[:8], "big") < 0.2 * 2**64 else "train"


def _font_files(names: Iterable[str | os.PathLike[str]]) -> dict[Path, bool]:
    """Find the font files, and whether the user gave the file itself."""
    files: dict[Path, bool] = {}
    for name in names:
        path = Path(name)
        if name == "matplotlib":
            import matplotlib

            paths = sorted((Path(matplotlib.get_data_path()) / "fonts" / "ttf").glob("*.ttf"))
        elif name == "system":
            from matplotlib.font_manager import findSystemFonts

            paths = sorted(map(Path, findSystemFonts()))
        else:
            paths = [path] if path.is_file() else _files_below(path)
        for file in paths:
            files[file] = file == path or files.get(file, False)
    return files


def _files_below(path: Path) -> list[Path]:
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such font folder or file")
    names = list_files(str(path), _SUFFIXES).names
    if not len(names):
        raise ValueError(f"{path}: no {', '.join(_SUFFIXES)} file in this folder or below it")
    return [path / name for name in names]
