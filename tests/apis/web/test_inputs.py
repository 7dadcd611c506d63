"""Images that the page sends: decoding, limits, boxes, examples."""

import base64

import numpy as np
import pytest
from made_images import encode, exif_block, pillow_bytes, word_pixels
from PIL import Image

from mms_ocr.apis.input_images import InputImage
from mms_ocr.apis.web.inputs import (
    LONGEST_SIDE,
    MAX_BYTES,
    MAX_WORDS,
    crop_box,
    example_photograph,
    read_files,
    render_examples,
    shrink,
)
from mms_ocr.utils.decoding import decode_image


def posted(data: bytes, name: str = "word.png", **fields) -> dict:
    return dict(name=name, size=len(data), data=base64.b64encode(data).decode(), **fields)


def rgba() -> bytes:
    pixels = np.dstack([word_pixels(1), np.full((20, 60), 255, np.uint8)])
    pixels[:, :30, 3] = 0
    return pillow_bytes(Image.fromarray(pixels))


def sixteen_bits() -> bytes:
    return pillow_bytes(np.arange(1200, dtype=np.uint16).reshape(20, 60) * 50)


def rotated() -> bytes:
    return pillow_bytes(word_pixels(2), "JPEG", exif=exif_block(6))


@pytest.mark.parametrize(
    "data",
    [encode(word_pixels(0)), encode(word_pixels(3, 1, 1)), rgba(), sixteen_bits(), rotated()],
    ids=["png", "one pixel", "rgba", "16 bits", "rotated"],
)
def test_files_are_decoded_as_by_the_commands(data):
    images, messages = read_files([posted(data)])
    assert messages == []
    assert images[0].name == "word.png"
    assert np.array_equal(images[0].image, decode_image(data))


@pytest.mark.parametrize(
    ("file", "named"),
    [
        (posted(b"no image at all", "notes.txt"), "notes.txt"),
        (posted(encode(word_pixels(0))[:-20], "cut.png"), "truncated"),
        (posted(b"", "empty.png"), "empty"),
        (dict(name="big.png", size=MAX_BYTES + 1, data=""), "20.0 MB"),
        (posted(pillow_bytes(Image.new("1", (8000, 8000))), "wide.png"), "8000"),
        (dict(name="bad.png", size=4, data="%%%"), "bad.png"),
        (dict(name="bad.png", size="many", data=""), "bad.png"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_the_others_are_read(file, named):
    images, messages = read_files([file, posted(encode(word_pixels(0)))])
    assert [image.name for image in images] == ["word.png"]
    (message,) = messages
    assert named in message
    assert message.startswith(file["name"])


def test_a_size_is_counted_and_not_believed(monkeypatch):
    monkeypatch.setattr("mms_ocr.apis.web.inputs.MAX_BYTES", 10)
    images, messages = read_files([dict(posted(encode(word_pixels(0))), size=1)])
    assert images == []
    assert len(messages) == 1


def test_files_after_the_limit_are_counted():
    images, messages = read_files([posted(encode(word_pixels(0)))] * (MAX_WORDS + 3))
    assert len(images) == MAX_WORDS
    assert f"{MAX_WORDS} of {MAX_WORDS + 3}" in messages[0]
    assert read_files(None) == ([], [])
    assert read_files("abc") == ([], [])


def test_large_words_are_shrunk_with_a_message():
    small = InputImage("a", word_pixels(0))
    assert shrink(small) == (small, [])
    smaller, messages = shrink(InputImage("b", np.zeros((1000, 4096, 3), np.uint8)))
    assert smaller.image.shape == (250, LONGEST_SIDE, 3)
    assert "b: 4096 × 1000" in messages[0]


@pytest.mark.parametrize(
    ("size", "shrunk"),
    [((100, 4096), (64, 2621)), ((20, 8000), (20, 8000)), ((20, 10000), (16, 8192))],
)
def test_long_lines_keep_their_height(size, shrunk):
    image, _ = shrink(InputImage("line", np.zeros((*size, 3), np.uint8)))
    assert image.image.shape[:2] == shrunk


def test_boxes_are_cut_in_percent():
    photograph = np.arange(100 * 200 * 3, dtype=np.uint32).astype(np.uint8).reshape(100, 200, 3)
    assert np.array_equal(crop_box(photograph, [10, 20, 30, 40]), photograph[20:60, 20:80])
    assert np.array_equal(crop_box(photograph, ["90", -5, 50, 1000]), photograph[:, 180:])


@pytest.mark.parametrize(
    "box",
    [[0, 0, 0, 10], [100, 0, 10, 10], [0, 0, 10, float("nan")], [0, 0, 10], ["a"] * 4, [None] * 4],
)
def test_boxes_without_a_pixel_are_refused(box):
    with pytest.raises(ValueError, match="box"):
        crop_box(np.zeros((10, 10, 3), np.uint8), box)


def test_examples_are_the_same_every_time():
    words, again = render_examples(), render_examples()
    assert len(words) == 6
    assert len({word.name for word in words}) == 6
    for word, other in zip(words, again):
        assert word.name == other.name
        assert np.array_equal(word.image, other.image)
    assert min(len(word.image) for word in words) == 16
    assert example_photograph(words).image.shape[1] > 800
