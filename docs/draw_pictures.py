"""Draw the pictures of README.md and docs/idea.md: rendered words and the bundled models.

python docs/draw_pictures.py
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from mms_ocr.apis import WordReader, WordSegmenter, WordUpscaler
from mms_ocr.apis.tasks import PRETRAINING, choose_weights
from mms_ocr.apis.trained_models import build_trained, load_config
from mms_ocr.datasets import RenderedWordDataset
from mms_ocr.datasets.transforms import resize_word_image
from mms_ocr.masking import BlockwiseMask, RandomPatchMask, SpanMask
from mms_ocr.models.backbones.patches import hide_patches
from mms_ocr.visualization import to_picture

matplotlib.use("Agg")
from matplotlib import pyplot as plt

IMAGES = Path(__file__).resolve().parent / "images"
SIZE = (32, 128)  # input of the encoder, height and width
PATCH = 4
RATIO = 0.6  # of removed patches
SMALL = (64, 16)  # width and height of the upscaler's input
SEED = 0  # of the words
WORDS = 6
DPI = 180


def rendered_words(count: int) -> list[NDArray[np.uint8]]:
    """Render words, uint8 BGR."""
    words = RenderedWordDataset(count, seed=SEED, random_string_share=0)
    return [words[index]["img"] for index in range(count)]


def save(name: str, rows: list[list[NDArray | str]], titles: list[str], width: float = 9) -> None:
    """Draw a table of RGB(A) pictures and texts, with a title above each column."""
    height = width / len(titles) * 0.31
    figure, axes = plt.subplots(
        len(rows), len(titles), figsize=(width, height * len(rows) + 0.25), squeeze=False
    )
    for row, places in zip(rows, axes):
        for cell, axis in zip(row, places):
            axis.axis("off")
            if isinstance(cell, str):
                axis.text(0, 0.5, cell, va="center", fontsize=13, family="DejaVu Sans Mono")
            else:
                axis.imshow(cell, aspect="auto", interpolation="nearest")
    for title, axis in zip(titles, axes[0]):
        axis.set_title(title, fontsize=9, loc="left", pad=4)
    figure.subplots_adjust(
        left=0.003, right=0.997, bottom=0.01, top=1 - 0.24 / figure.get_figheight(),
        wspace=0.04, hspace=0.08,
    )  # fmt: skip
    IMAGES.mkdir(exist_ok=True)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=DPI)
    plt.close(figure)
    # 256 colors are enough, and the page loads faster.
    Image.open(buffer).convert("RGB").quantize(256).save(IMAGES / name, optimize=True)
    print(f"{IMAGES / name}: {(IMAGES / name).stat().st_size / 1000:.0f} kB")


def rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert BGR to RGB."""
    return image[:, :, ::-1]


def resized(words: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """Resize words to the input of the encoder, as its pipeline does; uint8 RGB."""
    return [np.ascontiguousarray(rgb(resize_word_image(word, SIZE))) for word in words]


def on_checkers(cutout: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Put a cut-out, uint8 BGRA, on checkers, which show what is transparent; RGB."""
    rows, columns = np.indices(cutout.shape[:2]) // 6
    checkers = np.where((rows + columns) % 2, 255, 215)[:, :, None]
    opacity = cutout[:, :, 3:] / 255
    return np.rint(opacity * cutout[:, :, 2::-1] + (1 - opacity) * checkers).astype(np.uint8)


def draw_tasks() -> None:
    """Draw what the bundled models make of words."""
    words = rendered_words(WORDS)
    small = [cv2.resize(word, SMALL, interpolation=cv2.INTER_AREA) for word in words]
    columns = {
        "your crop": [rgb(word) for word in words],
        "read, with confidence": [
            f"{reading.text}\n{reading.confidence:.2f}" for reading in WordReader()(words)
        ],
        "cut out": [on_checkers(word.cutout()) for word in WordSegmenter()(words)],
        "16 pixels high": [rgb(word) for word in small],
        "sharpened": [rgb(word.upscaled) for word in WordUpscaler()(small)],
    }
    save("tasks.png", [list(row) for row in zip(*columns.values())], list(columns))


def draw_masks() -> None:
    """Draw a word in its patches, and under a mask of each strategy."""
    (word, *_) = rendered_words(1)
    (image,) = resized([word])
    patches = image.copy()
    patches[::PATCH] = patches[:, ::PATCH] = 255
    save("idea_patches.png", [[rgb(word), image, patches]], ["word", "32×128 pixels", "patches"])
    batch = torch.from_numpy(image).permute(2, 0, 1)[None]
    cells: list[NDArray | str] = []
    for kind in (RandomPatchMask, BlockwiseMask, SpanMask):
        strategy = kind(RATIO, (SIZE[0] // PATCH, SIZE[1] // PATCH))
        mask = strategy(1, rng=torch.Generator().manual_seed(1))
        cells.append(hide_patches(batch, mask, (PATCH, PATCH), 128)[0].permute(1, 2, 0).numpy())
    save("idea_masks.png", [cells], ["random patch", "blockwise", "span"])


def draw_filled() -> None:
    """Draw masked words and what the bundled encoder and its decoder fill in."""
    torch.manual_seed(SEED)  # of the masks
    weights = choose_weights(None, PRETRAINING)
    model = build_trained(load_config(None, weights, PRETRAINING), weights, "cpu")
    images = torch.from_numpy(np.stack(resized(rendered_words(4)))).permute(0, 3, 1, 2)
    # The preprocessor expects BGR, as pipelines give it.
    samples = model.predict(**model.data_preprocessor({"inputs": images.flip(1)}, False))
    rows, titles = [], ["word"]
    for sample in samples:
        row: list[NDArray | str] = [to_picture(sample.image)]
        for name in sample.masked_image:
            row += [to_picture(sample.masked_image[name]), to_picture(sample.reconstruction[name])]
        rows.append(row)
    for name in samples[0].masked_image:
        titles += [name.replace("_", " "), "filled in"]
    save("idea_filled.png", rows, titles)


def draw_weights() -> None:
    """Draw how one encoder goes into the models of all tasks, as SVG."""
    users = [
        ("recognizer", "text decoder or CTC head, or any of MMOCR's", "text"),
        ("segmentor", "pixel decoder", "mask and cut-out"),
        ("upscaler", "pixel decoder", "a sharper image"),
        ("models of your own", "MMPretrain, MMSegmentation, MMDetection", "features"),
    ]
    parts = [
        box(10, 92, 170, 66, "pretraining", "unlabelled words, masks"),
        box(240, 92, 170, 66, "TextViT", "the encoder's weights", strong=True),
        arrow(180, 125, 240, 125),
    ]
    for number, (name, decoder, output) in enumerate(users):
        top = 10 + 60 * number
        parts += [arrow(410, 125, 470, top + 25), box(470, top, 290, 50, name, decoder)]
        parts += [arrow(760, top + 25, 800, top + 25), label(808, top + 30, output)]
    head = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 950 250" font-family="sans-serif">'
        '<rect width="950" height="250" fill="#fff"/>'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
        'markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>'
    )
    text = "\n".join([head, *parts, "</svg>", ""])
    (IMAGES / "idea_weights.svg").write_text(text, encoding="utf-8")


def box(
    left: int, top: int, width: int, height: int, name: str, note: str, strong: bool = False
) -> str:
    """Return a box with a name and a note below it, in SVG."""
    fill, middle = ("#dbe9ff" if strong else "#f4f4f4"), left + width // 2
    return (
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="6" fill="{fill}" '
        f'stroke="#777"/><text x="{middle}" y="{top + height // 2 - 4}" font-size="16" '
        f'text-anchor="middle">{name}</text><text x="{middle}" y="{top + height // 2 + 15}" '
        f'font-size="12" fill="#555" text-anchor="middle">{note}</text>'
    )


def arrow(left: int, top: int, right: int, bottom: int) -> str:
    """Return an arrow from (left, top) to (right, bottom), in SVG."""
    return f'<path d="M{left} {top}L{right} {bottom}" stroke="#555" marker-end="url(#tip)"/>'


def label(left: int, bottom: int, text: str) -> str:
    """Return a text, in SVG."""
    return f'<text x="{left}" y="{bottom}" font-size="14">{text}</text>'


def main() -> int:
    """Draw all pictures."""
    draw_tasks()
    draw_masks()
    draw_filled()
    draw_weights()
    return 0


if __name__ == "__main__":
    sys.exit(main())
