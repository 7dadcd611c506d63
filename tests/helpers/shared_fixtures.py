"""Fixtures that tests of several packages share."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
import torch
from fontTools import subset
from fontTools.ttLib import TTFont
from made_images import lmdb_entries, write_folder, write_jsonl, write_lmdb

import mms_ocr  # noqa: F401
from mms_ocr.rendering import FontFace


@pytest.fixture
def make_source(tmp_path: Path) -> Callable[..., Path]:
    """Writes a source of a kind: ``make_source('lmdb', images, labels, name='a')``."""

    def make(
        kind: str, images: list[bytes], labels: list[str] | None = None, name: str = "words"
    ) -> Path:
        if kind == "lmdb":
            return write_lmdb(tmp_path / f"{name}.lmdb", lmdb_entries(images, labels))
        if kind == "jsonl":
            return write_jsonl(tmp_path / name / "words.jsonl", images, labels)
        return write_folder(tmp_path / name, images)

    return make


_FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@pytest.fixture(scope="session")
def dejavu() -> FontFace:
    """DejaVu Sans, which has all of ASCII."""
    return FontFace(_FONTS / "DejaVuSans.ttf")


@pytest.fixture(scope="session")
def make_font(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes DejaVu Sans under another family name with some characters only.

    ``show`` maps characters to those whose shapes they get.
    """

    def make(family: str, characters: str, show: dict[str, str] | None = None) -> Path:
        font = TTFont(_FONTS / "DejaVuSans.ttf")
        for table in font["cmap"].tables:
            if table.isUnicode():
                table.cmap.update({ord(a): table.cmap[ord(b)] for a, b in (show or {}).items()})
        subsetter = subset.Subsetter(subset.Options(name_IDs=["*"], notdef_outline=True))
        subsetter.populate(text=characters)
        subsetter.subset(font)
        for record in font["name"].names:
            if record.nameID in (1, 16):
                record.string = family
        path = tmp_path_factory.mktemp("font") / f"{family}.ttf"
        font.save(path)
        return path

    return make


CONFIG = """
_base_ = "{base}"
model = dict(
    backbone=dict(
        arch=dict(
            _delete_=True, embed_dims=48, num_layers=1, num_heads=4, feedforward_channels=96
        )
    ),
    decoder=dict(n_layers=1, d_input=48, max_seq_len=8),
)
"""


@pytest.fixture(scope="session")
def tiny_recognizer(tmp_path_factory, repository):
    """Config and checkpoint of a recognizer whose words are random, and differ between images."""
    if importlib.util.find_spec("mmocr") is None:
        pytest.skip("recognizers need MMOCR")
    from mmengine.config import Config
    from mmengine.registry import DefaultScope

    from mms_ocr.registry import MODELS

    folder = tmp_path_factory.mktemp("recognizer")
    config, weights = folder / "tiny_words.py", folder / "tiny.pth"
    base = repository / "configs" / "textrecog" / "mms_vit_t_ar_words.py"
    config.write_text(CONFIG.format(base=base))
    cfg = Config.fromfile(config)
    with torch.random.fork_rng(), DefaultScope.overwrite_default_scope("mms_ocr"):
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        model.init_weights()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
        special = [model.decoder.dictionary.unknown_idx, model.decoder.dictionary.padding_idx]
        model.decoder.classifier.bias[special] = -1e4
        model.decoder.classifier.bias[model.decoder.dictionary.end_idx] = 4.0
    torch.save({"state_dict": model.state_dict(), "meta": {}}, weights)
    return str(config), str(weights)


def word_image(number: int) -> np.ndarray:
    """Smooth noise of a size of its own."""
    rng = np.random.default_rng(number)
    small = rng.integers(0, 256, (5, 12, 3), dtype=np.uint8)
    return cv2.resize(small, (60 + 7 * number, 20 + number), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def word_images(tmp_path):
    """Writes image files ``0.png``, … and returns their paths."""

    def write(count: int, folder: str = "images") -> list[str]:
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        paths = [str(place / f"{number}.png") for number in range(count)]
        for number, path in enumerate(paths):
            cv2.imwrite(path, word_image(number))
        return paths

    return write


@pytest.fixture
def label_words(tmp_path):
    """Writes JSON lines of labels for image files in the same folder."""

    def write(paths: list[str], labels: list[str], name: str) -> str:
        lines = [
            json.dumps(dict(filename=path.rsplit("/", 1)[1], text=label))
            for path, label in zip(paths, labels)
        ]
        file = tmp_path / "images" / f"{name}.jsonl"
        file.write_text("\n".join(lines) + "\n")
        return str(file)

    return write
