from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from made_images import encode, word_pixels
from PIL import Image

from mms_ocr.datasets.decoding import decode_image
from mms_ocr.datasets.sources import BrokenImageError

RGB = word_pixels(3)[:, :, ::-1]


def pillow_bytes(image: Image.Image, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_by_value(form):
    image = decode_image(pillow_bytes(Image.fromarray(np.ascontiguousarray(RGB)), form))
    np.testing.assert_array_equal(image, RGB[:, :, ::-1])
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous


def test_jpeg_equals_opencv():
    data = encode(word_pixels(0), ".jpg")
    np.testing.assert_array_equal(decode_image(data), cv2.imdecode(np.frombuffer(data, "u1"), 1))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF"])
def test_greyscale(form):
    grey = np.repeat(np.arange(0, 256, 8, dtype=np.uint8)[None], 16, axis=0)
    image = decode_image(pillow_bytes(Image.fromarray(grey), form))
    assert image.shape == (16, 32, 3)
    np.testing.assert_allclose(image, grey[:, :, None].repeat(3, axis=2), atol=3)


def test_cmyk_jpeg_has_the_right_colours():
    # Ink: cyan, magenta, yellow, black, none; each 16 wide so that JPEG keeps it.
    inks = np.zeros((16, 80, 4), np.uint8)
    for place, ink in enumerate([0, 1, 2, 3]):
        inks[:, place * 16 : place * 16 + 16, ink] = 255
    data = pillow_bytes(Image.fromarray(inks, "CMYK"), "JPEG", quality=100)
    colours = decode_image(data)[8, 8::16]
    expected = [[255, 255, 0], [255, 0, 255], [0, 255, 255], [0, 0, 0], [255, 255, 255]]  # BGR
    np.testing.assert_allclose(colours, expected, atol=12)


def test_sixteen_bits_are_scaled():
    levels = np.array([[0, 257, 32896, 65535]], np.uint16)
    for data in (encode(levels), pillow_bytes(Image.fromarray(levels), "TIFF")):
        np.testing.assert_array_equal(decode_image(data)[0, :, 0], [0, 1, 128, 255])
    colours = np.stack([levels, levels[:, ::-1], levels], axis=2)
    expected = np.array([[0, 255, 0], [1, 128, 1], [128, 1, 128], [255, 0, 255]])
    np.testing.assert_allclose(decode_image(encode(colours))[0], expected, atol=1)


def test_transparent_parts_are_white():
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, :, 3] = [0, 255, 128]  # black: clear, opaque, half
    for image in (Image.fromarray(pixels), Image.fromarray(pixels).convert("LA")):
        data = pillow_bytes(image, "PNG")
        np.testing.assert_allclose(decode_image(data)[0, :, 0], [255, 0, 127], atol=1)


def test_palette_and_its_transparent_colour():
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    expected = np.array([[0, 0, 255], [0, 255, 0], [255, 0, 0]])
    np.testing.assert_array_equal(decode_image(pillow_bytes(image, "PNG"))[0], expected)
    np.testing.assert_array_equal(decode_image(pillow_bytes(image, "GIF"))[0], expected)
    expected[1] = 255
    data = pillow_bytes(image, "PNG", transparency=1)
    np.testing.assert_array_equal(decode_image(data)[0], expected)


def test_transparent_colour_of_an_rgb_png():
    image = Image.fromarray(np.array([[[1, 2, 3], [9, 9, 9]]], np.uint8))
    data = pillow_bytes(image, "PNG", transparency=(1, 2, 3))
    np.testing.assert_array_equal(decode_image(data)[0], [[255, 255, 255], [9, 9, 9]])


def test_bilevel():
    image = Image.fromarray(np.array([[True, False]]))
    np.testing.assert_array_equal(decode_image(pillow_bytes(image, "PNG"))[0, :, 0], [255, 0])


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 20_000, 3), (64, 20_000, 3), (3000, 1, 3)])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_extreme_shapes(shape, suffix):
    assert decode_image(encode(np.full(shape, 7, np.uint8), suffix)).shape == shape


def test_orientation_is_applied():
    upright = np.zeros((16, 48, 3), np.uint8)
    upright[:, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    for form in ("JPEG", "TIFF"):
        image = decode_image(pillow_bytes(Image.fromarray(upright), form, exif=exif))
        assert image[8, 40, 0] > 250
        assert image[8, 8, 0] < 5


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tiff"])
def test_image_bombs_are_refused_by_their_header(suffix, monkeypatch):
    data = encode(np.zeros((200, 300, 3), np.uint8), suffix)

    def no_decoding(*args, **kwargs):
        raise AssertionError("the pixels were decoded")

    monkeypatch.setattr(cv2, "imdecode", no_decoding)
    monkeypatch.setattr(Image.Image, "convert", no_decoding)
    with pytest.raises(BrokenImageError, match=r"300 x 200 pixels, more than max_pixels=59,999"):
        decode_image(data, max_pixels=59_999)


def test_a_real_bomb_is_refused():
    # 100,000 x 100,000 pixels in a header without data.
    header = bytearray(encode(np.zeros((1, 1, 3), np.uint8)))
    header[16:24] = (100_000).to_bytes(4, "big") * 2
    with pytest.raises(BrokenImageError, match=r"100000 x 100000|bomb"):
        decode_image(bytes(header))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tiff", ".gif"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.97])
def test_truncated_files_are_broken(suffix, share):
    form = {".jpg": "JPEG", ".tiff": "TIFF"}.get(suffix, suffix[1:].upper())
    data = pillow_bytes(Image.fromarray(word_pixels(1, 64, 200)), form)
    with pytest.raises(BrokenImageError) as error:
        decode_image(data[: int(share * len(data))])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("data", [b"", b"x", b"<html>not found</html>", bytes(5000), b"\xff\xd8"])
def test_what_is_no_image(data):
    with pytest.raises(BrokenImageError):
        decode_image(data)


def test_zero_sized_images_are_broken():
    png = bytearray(encode(word_pixels(0)))
    png[16:20] = bytes(4)  # width 0
    jpeg = bytearray(encode(word_pixels(0), ".jpg"))
    frame = jpeg.find(b"\xff\xc0")
    jpeg[frame + 7 : frame + 9] = bytes(2)
    for data in (png, jpeg):
        with pytest.raises(BrokenImageError):
            decode_image(bytes(data))


def test_damaged_files_never_raise_anything_else():
    rng = np.random.default_rng(0)
    for suffix in (".png", ".jpg", ".webp", ".tiff"):
        data = encode(word_pixels(2, 32, 64), suffix)
        for _ in range(25):
            damaged = bytearray(data)
            for place in rng.integers(0, min(len(data), 300), 6):
                damaged[place] = rng.integers(256)
            try:
                image = decode_image(bytes(damaged), max_pixels=10_000)
            except BrokenImageError:
                continue
            assert image.dtype == np.uint8
            assert image.ndim == 3
