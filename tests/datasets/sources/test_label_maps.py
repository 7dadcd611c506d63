"""Levels of masks, exactly as their files store them; and orientation of images with masks."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from made_images import (
    encode,
    exif_block,
    lmdb_entries,
    pillow_bytes,
    tiff_bytes,
    word_pixels,
    write_lmdb,
)
from PIL import Image

from mms_ocr.dataset_tools.records import MasksAsTextSeg, open_records
from mms_ocr.datasets import WordMaskDataset, WordPairDataset
from mms_ocr.datasets.sources import BrokenImageError
from mms_ocr.datasets.sources.label_maps import decode_label_map
from mms_ocr.utils.decoding import decode_oriented

STROKES = np.zeros((12, 40), np.uint8)
STROKES[3:9, 5:12] = STROKES[2:10, 20:26] = 1


def palette_bytes(colors, form="PNG", indices=STROKES, **options):
    image = Image.fromarray(np.asarray(indices, np.uint8)).convert("P")
    image.putpalette(np.array(colors, np.uint8).tobytes())
    return pillow_bytes(image, form, **options)


def rgba_bytes(gray, alpha):
    """A PNG with the gray levels and opacities of (ground, strokes)."""
    gray, alpha = (np.where(STROKES, pair[1], pair[0]).astype(np.uint8) for pair in (gray, alpha))
    return pillow_bytes(np.dstack([gray, gray, gray, alpha]))


def high(levels, dtype="<u2"):
    return np.where(STROKES, levels[1], levels[0]).astype(dtype)


BLACK, WHITE, RED, MAROON = (0, 0, 0), (255, 255, 255), (255, 0, 0), (128, 0, 0)
MASKS = {
    "gray": (encode(STROKES * 255), 255),
    "gray of 0 and 1": (encode(STROKES), 1),
    "one bit": (pillow_bytes(Image.fromarray(STROKES.astype(bool))), 255),
    "one bit, fax": (
        pillow_bytes(Image.fromarray(STROKES.astype(bool)), "TIFF", compression="group4"),
        255,
    ),
    "rgb": (encode(np.repeat(STROKES[:, :, None] * 255, 3, axis=2)), 255),
    "16 bits": (encode(high((0, 65535))), 65535),
    "16 bits, 0 and 1": (encode(high((0, 1))), 1),
    "16 bits, 8-bit levels": (encode(high((0, 255))), 255),
    "16 bits, scaled": (encode(high((0, 100 * 257))), 25700),
    "16-bit tiff": (tiff_bytes(high((0, 1))), 1),
    "16-bit tiff, other order": (tiff_bytes(high((0, 300), ">u2")), 300),
    "8-bit tiff, white is zero": (tiff_bytes(high((255, 0), "u1"), white_is_zero=True), 255),
    "palette of grays": (palette_bytes([BLACK, WHITE]), 255),
    "palette of colors": (palette_bytes([BLACK, MAROON, RED]), 1),
    "palette, gif": (palette_bytes([BLACK, WHITE], "GIF"), 255),
    "palette, ground transparent": (palette_bytes([BLACK, WHITE], transparency=0), 255),
    "opaque alpha": (rgba_bytes((0, 255), (255, 255)), 255),
    "alpha repeats the levels": (rgba_bytes((0, 255), (0, 255)), 255),
    "alpha alone, black": (rgba_bytes((0, 0), (0, 255)), 255),
    "alpha alone, white": (rgba_bytes((255, 255), (0, 255)), 255),
    "black is transparent": (pillow_bytes(STROKES * 255, transparency=0), 255),
    "gray and alpha": (
        pillow_bytes(Image.merge("LA", [Image.fromarray(STROKES * 255)] * 2)),
        255,
    ),
    "pgm": (b"P5\n40 12\n65535\n" + high((0, 3), ">u2").tobytes(), 3),
    "webp": (pillow_bytes(np.dstack([STROKES * 255] * 3), "WEBP", lossless=True), 255),
}


@pytest.mark.parametrize("kind", MASKS)
def test_levels_are_kept(kind):
    data, level = MASKS[kind]
    levels = decode_label_map(data)
    np.testing.assert_array_equal(levels, STROKES.astype(np.uint16) * level)
    assert levels.dtype in (np.uint8, np.uint16)


def test_all_levels_of_textseg_in_every_layout():
    textseg = np.random.default_rng(0).choice([0, 100, 200, 255], (12, 40)).astype(np.uint8)
    palette = np.arange(256)[:, None].repeat(3, axis=1)
    for data in (
        encode(textseg),
        encode(textseg.astype(np.uint16)),
        tiff_bytes(textseg),
        tiff_bytes(textseg.astype("<u2")),
        palette_bytes(palette, indices=textseg),
        encode(np.dstack([textseg] * 3)),
        encode(np.dstack([textseg] * 3 + [np.full_like(textseg, 255)])),
    ):
        np.testing.assert_array_equal(decode_label_map(data), textseg)


UNCLEAR = {
    "colors": encode(word_pixels(0)),
    "index 0 is white": palette_bytes([WHITE, BLACK]),
    "index 0 is red": palette_bytes([RED, BLACK]),
    "palette with white transparent": palette_bytes([BLACK, WHITE], transparency=1),
    "transparent white, black strokes": rgba_bytes((255, 0), (0, 255)),
    "half transparent": rgba_bytes((0, 255), (128, 255)),
    "strokes transparent": rgba_bytes((0, 255), (255, 0)),
    "white is transparent": pillow_bytes(STROKES * 255, transparency=255),
    "all half transparent": rgba_bytes((0, 0), (128, 128)),
    "16-bit colors": encode(np.repeat(high((0, 1))[:, :, None], 3, axis=2)),
    "32 bits": tiff_bytes(high((0, 1), "<u4")),
    "floating point": tiff_bytes(high((0, 1), "<f4")),
    "pgm of 200 levels": b"P5\n40 12\n200\n" + (STROKES * 100).tobytes(),
    "16-bit tiff, white is zero": tiff_bytes(high((65535, 0)), white_is_zero=True),
    "signed tiff": tiff_bytes(high((0, 7), "<i2")),
    "cmyk": pillow_bytes(Image.fromarray(STROKES * 255).convert("CMYK"), "TIFF"),
    "frames": pillow_bytes(
        Image.fromarray(STROKES * 255),
        "GIF",
        save_all=True,
        append_images=[Image.fromarray(255 - STROKES * 255)],
    ),
    "pages": pillow_bytes(
        Image.fromarray(STROKES * 255),
        "TIFF",
        save_all=True,
        append_images=[Image.fromarray(255 - STROKES * 255)],
    ),
    "damaged": encode(word_pixels(0)[:, :, 0])[:-30],
}


@pytest.mark.parametrize("kind", UNCLEAR)
def test_ambiguous_masks_raise(kind):
    with pytest.raises(BrokenImageError) as raised:
        decode_label_map(UNCLEAR[kind])
    assert "\n" not in str(raised.value)


def test_a_second_black_index_is_refused():
    indices = np.where(STROKES, 2, 0)
    assert decode_label_map(palette_bytes([BLACK, BLACK, WHITE], indices=indices)).max() == 255
    indices[0, 0] = 1
    with pytest.raises(BrokenImageError, match="index 0 and black"):
        decode_label_map(palette_bytes([BLACK, BLACK, WHITE], indices=indices))


def test_jpeg_masks():
    plain = np.zeros((16, 16), np.uint8)
    np.testing.assert_array_equal(decode_label_map(encode(plain, ".jpg")), plain)
    with pytest.raises(BrokenImageError, match="damaged JPEG"):
        decode_label_map(encode(word_pixels(0), ".jpg")[:-40] + b"\xff\xd9")


# --- the same everywhere that masks are read ------------------------------------------------------


def write_words(folder, layout, image, mask, names=("image", "mask")):
    """One word in a layout, as a data set or records open it."""
    if layout == "lmdb":
        entries = lmdb_entries([image], ["word"]) | {"mask-000000001": mask}
        return str(write_lmdb(folder / "words.lmdb", entries))
    for name, data in zip(names, (image, mask)):
        (folder / name).mkdir(parents=True)
        (folder / name / "0.png").write_bytes(data)
    if layout == "folder":
        return str(folder)
    line = dict(filename="image/0.png", mask="mask/0.png", text="word")
    (folder / "words.jsonl").write_text(json.dumps(line) + "\n")
    return str(folder / "words.jsonl")


LAYOUTS = ("folder", "lmdb", "jsonl")
IMAGE = word_pixels(0, *STROKES.shape)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["alpha alone, white", "palette, gif", "16 bits, 0 and 1"])
def test_masks_of_every_layout(tmp_path, layout, kind):
    path = write_words(tmp_path, layout, encode(IMAGE), MASKS[kind][0])
    np.testing.assert_array_equal(WordMaskDataset(path)[0]["mask"], STROKES)
    if layout != "folder":
        levels = MasksAsTextSeg(open_records(path, "words")).read(0).images["mask"]
        np.testing.assert_array_equal(decode_label_map(levels), STROKES * 100)


def test_named_levels_of_16_bits(tmp_path):
    path = write_words(tmp_path, "folder", encode(IMAGE), encode(high((300, 40_000))))
    values = dict(background=(300,), text=(40_000,))
    np.testing.assert_array_equal(WordMaskDataset(path, mask_values=values)[0]["mask"], STROKES)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["index 0 is white", "half transparent", "16-bit colors"])
def test_unclear_masks_of_every_layout(tmp_path, layout, kind):
    path = write_words(tmp_path, layout, encode(IMAGE), UNCLEAR[kind])
    for read in (WordMaskDataset(path).load, open_records(path, "words").read):
        with pytest.raises(BrokenImageError):
            read(0)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", [2, 3, 4, 6])
def test_orientation_of_only_the_image_is_refused(tmp_path, layout, form, orientation):
    image = pillow_bytes(IMAGE, form, exif=exif_block(orientation))
    path = write_words(tmp_path, layout, image, encode(STROKES))
    for read in (WordMaskDataset(path).load, open_records(path, "words").read):
        with pytest.raises(BrokenImageError, match=f"EXIF orientation 1.* {orientation}"):
            read(0)


@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 7])
def test_orientation_of_both(tmp_path, orientation):
    block = exif_block(orientation)
    image, mask = (pillow_bytes(part, exif=block) for part in (IMAGE, STROKES * 255))
    item = WordMaskDataset(write_words(tmp_path, "folder", image, mask))[0]
    # The same turn for both: a pixel of the mask is beside its pixel of the image.
    stored = {tuple(pixel): label for pixel, label in zip(IMAGE.reshape(-1, 3), STROKES.ravel())}
    turned = [stored[tuple(pixel[::-1])] for pixel in item["img"].reshape(-1, 3)]
    np.testing.assert_array_equal(item["mask"].ravel(), turned)
    assert item["mask"].shape == item["img"].shape[:2]


def test_textseg_layout_is_stored_without_orientation(tmp_path):
    block = exif_block(6)
    image, mask = (pillow_bytes(part, exif=block) for part in (IMAGE, STROKES * 255))
    records = open_records(write_words(tmp_path, "lmdb", image, mask), "words")
    record = MasksAsTextSeg(records).read(0)
    levels = decode_label_map(record.images["mask"])
    np.testing.assert_array_equal(levels, np.rot90(STROKES, -1) * 100)
    pixels, orientation = decode_oriented(record.images["image"])
    np.testing.assert_array_equal(pixels[:, :, ::-1], np.rot90(IMAGE, -1))
    assert orientation == 1


def test_orientation_of_only_the_mask_is_refused(tmp_path):
    mask = pillow_bytes(STROKES * 255, exif=exif_block(3))
    path = write_words(tmp_path, "folder", encode(IMAGE), mask)
    with pytest.raises(BrokenImageError, match="EXIF orientation 3"):
        WordMaskDataset(path).load(0)


def test_orientation_of_textseg_as_released(tmp_path):
    for folder in ("image", "annotation", "semantic_label"):
        (tmp_path / folder).mkdir()
    (tmp_path / "image/a.jpg").write_bytes(pillow_bytes(IMAGE, "JPEG", exif=exif_block(3)))
    (tmp_path / "semantic_label/a_maskfg.png").write_bytes(encode(STROKES * 100))
    word = {"0": {"text": "a", "bbox": [0, 0, 40, 0, 40, 12, 0, 12]}}
    (tmp_path / "annotation/a_anno.json").write_text(json.dumps(word))
    (tmp_path / "split.json").write_text(json.dumps(dict(train=["a"], val=[], test=[])))
    with pytest.raises(BrokenImageError, match="EXIF orientation"):
        open_records(str(tmp_path), "textseg").read(0)
    (tmp_path / "image/a.jpg").write_bytes(pillow_bytes(IMAGE, "JPEG"))
    deep = cv2.imencode(".png", STROKES.astype(np.uint16) * 100)[1].tobytes()
    (tmp_path / "semantic_label/a_maskfg.png").write_bytes(deep)
    mask = open_records(str(tmp_path), "textseg").read(0).images["mask"]
    np.testing.assert_array_equal(decode_label_map(mask), STROKES * 100)


def test_orientation_of_high_and_low_resolution(tmp_path):
    large = pillow_bytes(IMAGE, "JPEG", exif=exif_block(3))
    small = IMAGE[::2, ::2]
    path = write_words(tmp_path, "folder", large, encode(small), names=("hr", "lr"))
    pairs = WordPairDataset(path, max_broken=1.0)
    with pytest.raises(Exception, match="not one image"):
        pairs[0]
    (tmp_path / "lr" / "0.png").write_bytes(pillow_bytes(small, exif=exif_block(3)))
    np.testing.assert_array_equal(WordPairDataset(path)[0]["img"], small[::-1, ::-1, ::-1])
