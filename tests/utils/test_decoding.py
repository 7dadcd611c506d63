from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from made_images import encode, exif_block, pillow_bytes, tiff_bytes, word_pixels
from PIL import Image, ImageOps

from mms_ocr.datasets import open_source
from mms_ocr.datasets.sources import BrokenImageError
from mms_ocr.datasets.sources.label_maps import decode_label_map
from mms_ocr.utils.decoding import decode_image, decode_oriented

RGB = word_pixels(3)[:, :, ::-1]


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
def test_grayscale(form):
    gray = np.repeat(np.arange(0, 256, 8, dtype=np.uint8)[None], 16, axis=0)
    image = decode_image(pillow_bytes(Image.fromarray(gray), form))
    assert image.shape == (16, 32, 3)
    np.testing.assert_allclose(image, gray[:, :, None].repeat(3, axis=2), atol=3)


def test_cmyk_jpeg_has_the_right_colors():
    # Ink: cyan, magenta, yellow, black, none; each 16 wide so that JPEG keeps it.
    inks = np.zeros((16, 80, 4), np.uint8)
    for place, ink in enumerate([0, 1, 2, 3]):
        inks[:, place * 16 : place * 16 + 16, ink] = 255
    data = pillow_bytes(Image.fromarray(inks, "CMYK"), "JPEG", quality=100)
    colors = decode_image(data)[8, 8::16]
    expected = [[255, 255, 0], [255, 0, 255], [0, 255, 255], [0, 0, 0], [255, 255, 255]]  # BGR
    np.testing.assert_allclose(colors, expected, atol=12)


def test_sixteen_bits_are_scaled():
    levels = np.array([[0, 257, 32896, 65535]], np.uint16)
    for data in (encode(levels), pillow_bytes(Image.fromarray(levels), "TIFF")):
        np.testing.assert_array_equal(decode_image(data)[0, :, 0], [0, 1, 128, 255])
    colors = np.stack([levels, levels[:, ::-1], levels], axis=2)
    expected = np.array([[0, 255, 0], [1, 128, 1], [128, 1, 128], [255, 0, 255]])
    np.testing.assert_allclose(decode_image(encode(colors))[0], expected, atol=1)


def word_with_alpha(*luminances: int, opacity: int = 255) -> np.ndarray:
    """Vertical strokes of these levels, eight pixels wide, on a transparent ground; RGBA."""
    image = np.zeros((16, 16 * len(luminances) + 8, 4), np.uint8)
    for place, luminance in enumerate(luminances):
        image[:, 16 * place + 8 : 16 * place + 16] = (luminance,) * 3 + (opacity,)
    return image


@pytest.mark.parametrize(
    ("luminances", "ground"),
    [((255,), 0), ((0,), 255), ((128,), 255), ((200,), 0), ((255, 0), 128), ((220, 90), 0)],
)
def test_letters_stand_out_from_the_ground(luminances, ground):
    pixels = word_with_alpha(*luminances)
    levels = [ground]
    for luminance in luminances:
        levels += [luminance, ground]
    rgba, gray = Image.fromarray(pixels), Image.fromarray(pixels).convert("LA")
    for data in (pillow_bytes(rgba), pillow_bytes(gray), pillow_bytes(rgba, "WEBP", lossless=True)):
        np.testing.assert_array_equal(decode_image(data)[8, 4::8, 0], levels)


def test_background_of_transparent_palettes():
    white = Image.fromarray(word_with_alpha(255))
    palette = Image.fromarray((np.asarray(white)[:, :, 3] // 255).astype(np.uint8)).convert("P")
    palette.putpalette([255, 255, 255] * 2)
    for form in ("PNG", "GIF"):
        data = pillow_bytes(palette, form, transparency=0)
        np.testing.assert_array_equal(decode_image(data)[8, 4::8, 0], [0, 255, 0])
    deep = np.where(np.asarray(white)[:, :, 3], 65535, 500).astype(np.uint16)
    data = pillow_bytes(deep, transparency=500)
    np.testing.assert_array_equal(decode_image(data)[8, 4::8, 0], [0, 255, 0])
    deep = np.repeat(np.asarray(white)[:, :, 3:].astype(np.uint16) * 257, 4, axis=2)
    np.testing.assert_array_equal(decode_image(encode(deep))[8, 4::8, 0], [0, 255, 0])


def test_fully_transparent_images_are_broken():
    with pytest.raises(BrokenImageError, match="every pixel is transparent"):
        decode_image(pillow_bytes(word_with_alpha(0, 255, opacity=0)))


def test_transparent_letters_are_composed_by_their_color():
    pixels = decode_image(pillow_bytes(word_with_alpha(255, opacity=100)))
    np.testing.assert_array_equal(pixels[8, 4::8, 0], [0, 100, 0])


def test_transparent_parts_are_white():
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, :, 3] = [0, 255, 128]  # black: clear, opaque, half
    for image in (Image.fromarray(pixels), Image.fromarray(pixels).convert("LA")):
        data = pillow_bytes(image, "PNG")
        np.testing.assert_allclose(decode_image(data)[0, :, 0], [255, 0, 127], atol=1)


def test_palette_and_its_transparent_color():
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    expected = np.array([[0, 0, 255], [0, 255, 0], [255, 0, 0]])
    np.testing.assert_array_equal(decode_image(pillow_bytes(image, "PNG"))[0], expected)
    np.testing.assert_array_equal(decode_image(pillow_bytes(image, "GIF"))[0], expected)
    expected[1] = 255
    data = pillow_bytes(image, "PNG", transparency=1)
    np.testing.assert_array_equal(decode_image(data)[0], expected)


def test_transparent_color_of_an_rgb_png():
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


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_orientation_is_applied(form, orientation):
    options = dict(quality=95, subsampling=0) if form == "JPEG" else dict(lossless=True)
    stored = cv2.resize(word_pixels(0, 4, 6), (48, 32), interpolation=cv2.INTER_LINEAR)
    data = pillow_bytes(stored, form, exif=exif_block(orientation), **options)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    image, applied = decode_oriented(data)
    np.testing.assert_array_equal(image, np.asarray(expected.convert("RGB"))[:, :, ::-1])
    assert applied == orientation
    opencv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(image, opencv)


def test_damaged_exif_block_is_ignored():
    data = pillow_bytes(word_pixels(0), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    np.testing.assert_array_equal(decode_image(data), cv2.imdecode(np.frombuffer(data, "u1"), 1))


LEVELS = np.array([[0, 1000, 32767, 65535]])


@pytest.mark.parametrize(
    ("levels", "white_is_zero", "expected"),
    [
        (LEVELS.astype("<u2"), False, [0, 4, 127, 255]),
        (LEVELS.astype(">u2"), False, [0, 4, 127, 255]),
        ((LEVELS // 257).astype("u1"), False, [0, 3, 127, 255]),
        ((LEVELS // 257).astype("u1"), True, [255, 252, 128, 0]),
    ],
)
def test_brightness_of_gray_tiffs(levels, white_is_zero, expected):
    image = decode_image(tiff_bytes(levels, white_is_zero))
    np.testing.assert_array_equal(image, np.repeat([expected], 3, axis=0).T[None])


def test_levels_of_12_bits():
    data = tiff_bytes((LEVELS // 16).astype("<u2"), bits=12)
    np.testing.assert_array_equal(decode_image(data)[0, :, 0], [0, 4, 127, 255])
    np.testing.assert_array_equal(decode_label_map(data), LEVELS // 16)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_planes_of_16_bits_are_read_right_or_not_at_all(compression):
    tifffile = pytest.importorskip("tifffile")
    planes = (np.arange(3 * 8 * 16, dtype=np.uint16) * 170).reshape(3, 8, 16)
    file = io.BytesIO()
    options = dict(photometric="rgb", planarconfig="separate", compression=compression)
    tifffile.imwrite(file, planes, **options)
    if compression is None:
        with pytest.raises(BrokenImageError, match="colors of a pixel together"):
            decode_image(file.getvalue())
    else:
        image = decode_image(file.getvalue())[:, :, ::-1].astype(int)
        assert np.abs(image - planes.transpose(1, 2, 0) / 257).max() <= 1


@pytest.mark.parametrize(
    "data",
    [
        *(tiff_bytes(LEVELS.astype(kind), white_is_zero=True) for kind in ("<u2", ">u2")),
        *(tiff_bytes((LEVELS - 32768).astype(kind)) for kind in ("<i2", ">i2")),
        tiff_bytes((LEVELS - 32768).astype("<i2"), white_is_zero=True),
        tiff_bytes((LEVELS // 257 - 128).astype("i1")),
        tiff_bytes((LEVELS // 257 - 128).astype("i1"), white_is_zero=True),
        tiff_bytes(LEVELS.astype("<u4")),
        tiff_bytes(LEVELS.astype("<i4")),
        tiff_bytes(LEVELS.astype("<f4") / 65535),
        tiff_bytes(LEVELS.astype(">u4")),  # of a kind that Pillow cannot read
        tiff_bytes(LEVELS.astype("<u4"), white_is_zero=True),
        tiff_bytes((LEVELS // 257).astype("<u2")),  # would be black
        encode((LEVELS // 257).astype(np.uint16)),
        encode(np.repeat((LEVELS // 257).astype(np.uint16)[:, :, None], 3, axis=2)),
    ],
)
def test_brightness_that_is_not_clear(data):
    with pytest.raises(BrokenImageError):
        decode_image(data)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tiff"])
def test_image_bombs_are_refused_by_their_header(suffix, monkeypatch):
    data = encode(np.zeros((200, 300, 3), np.uint8), suffix)

    def no_decoding(*args, **kwargs):
        raise AssertionError("the pixels were decoded")

    monkeypatch.setattr(cv2, "imdecode", no_decoding)
    monkeypatch.setattr(Image.Image, "convert", no_decoding)
    with pytest.raises(BrokenImageError, match=r"300 x 200 pixels, more than max_pixels=59,999"):
        decode_image(data, max_pixels=59_999)


def test_real_decompression_bomb_raises():
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
def test_non_images_are_broken(data):
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


# --- damaged files that decoders show half of -----------------------------------------------------


def smooth_pixels(height: int = 64, width: int = 200) -> np.ndarray:
    return cv2.resize(word_pixels(1, 16, 50), (width, height), interpolation=cv2.INTER_CUBIC)


JPEGS = {
    "baseline": {},
    "progressive": dict(progressive=True),
    "optimized": dict(optimize=True),
    "restarts": dict(restart_marker_blocks=3),
    "full color": dict(subsampling=0),
    "half color": dict(subsampling=1),
    "gray": dict(mode="L"),
    "cmyk": dict(mode="CMYK"),
}


def jpeg_bytes(kind: str) -> bytes:
    options = dict(JPEGS[kind])
    image = Image.fromarray(smooth_pixels()).convert(options.pop("mode", "RGB"))
    return pillow_bytes(image, "JPEG", quality=90, **options)


@pytest.mark.parametrize(
    "tail", [b"", b"\r\n", bytes(500), b"a note", encode(word_pixels(0), ".jpg")]
)
@pytest.mark.parametrize("kind", JPEGS)
def test_good_jpegs_are_as_opencv_shows_them(kind, tail):
    data = jpeg_bytes(kind) + tail
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if kind == "cmyk":
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))[:, :, ::-1]
    np.testing.assert_array_equal(decode_image(data), expected)


def damage(data: bytes, how: str) -> bytes:
    scan = data.find(b"\xff\xda")
    start, end = (scan + int(share * (len(data) - scan)) for share in (0.55, 0.75))
    if how == "zeros":
        return data[:start] + bytes(len(data) - start)
    if how == "zeros before the end mark":
        return data[:start] + bytes(len(data) - start - 2) + data[-2:]
    if how == "middle missing":
        return data[:start] + data[end:]
    if how == "end missing":
        return data[:start] + data[-2:]
    return data[:start] + b"\xff\xd8\xff\xe0" + data[start + 4 :]  # marks in the middle


@pytest.mark.parametrize(
    "how", ["zeros", "zeros before the end mark", "middle missing", "end missing", "marks"]
)
@pytest.mark.parametrize("kind", JPEGS)
def test_damaged_jpegs_are_broken(kind, how):
    with pytest.raises(BrokenImageError, match="damaged JPEG"):
        decode_image(damage(jpeg_bytes(kind), how))


def test_scans_of_a_progressive_jpeg_that_are_missing():
    data = jpeg_bytes("progressive")
    scans = [place for place in range(len(data)) if data[place : place + 2] == b"\xff\xda"]
    assert len(scans) > 5
    for start in scans[1:]:  # libjpeg has nothing to complain of
        with pytest.raises(BrokenImageError, match="damaged JPEG"):
            decode_image(data[:start] + data[-2:])


def test_zeros_after_which_the_decoder_stays_synchronized():
    # Chosen among 3,000: libjpeg reads the zeros as pixels and has nothing to complain of.
    for number in (310, 658, 1300, 1664):
        smooth = cv2.resize(word_pixels(number, 3, 6), (48, 24), interpolation=cv2.INTER_CUBIC)
        data = encode(smooth, ".jpg")
        start = len(data) * 6 // 10
        with pytest.raises(BrokenImageError, match="damaged JPEG"):
            decode_image(data[:start] + bytes(len(data) - start - 2) + data[-2:])


@pytest.mark.parametrize("kind", ["baseline", "gray", "restarts"])
def test_zeros_inside_the_scan_of_a_jpeg(kind):
    data = jpeg_bytes(kind)
    scan = data.find(b"\xff\xda")
    for share in (0.2, 0.4, 0.6, 0.8):  # libjpeg finds fault with some of them alone
        start = scan + int(share * (len(data) - scan))
        with pytest.raises(BrokenImageError, match="damaged JPEG"):
            decode_image(data[:start] + bytes(24) + data[start + 24 :])


def test_harmless_jpeg_warnings_are_ignored():
    good = jpeg_bytes("baseline")
    revision = good.replace(b"JFIF\0\1", b"JFIF\0\2", 1)
    scan = good.index(b"\xff\xda")
    spectrum = good[: scan + 11] + bytes(3) + good[scan + 14 :]
    padded = good[:-2] + bytes(6) + good[-2:]
    header = 4 + int.from_bytes(good[4:6], "big")
    interrupted = good[:header] + b"\0 junk" + good[header:]
    for data in (revision, spectrum, padded, interrupted):
        assert data != good
        np.testing.assert_array_equal(decode_image(data), decode_image(good))
        with pytest.raises(BrokenImageError):
            decode_image(damage(data, "zeros"))
        with pytest.raises(BrokenImageError):
            decode_image(damage(data, "middle missing"))


def test_a_webp_with_a_tail_of_zeros_is_broken():
    for lossless in (False, True):
        data = pillow_bytes(smooth_pixels(), "WEBP", lossless=lossless)
        with pytest.raises(BrokenImageError, match="zeros"):
            decode_image(data[: -(len(data) // 3)] + bytes(len(data) // 3))
        plain = np.zeros((500, 1000, 3), np.uint8)
        assert decode_image(pillow_bytes(plain, "WEBP", lossless=lossless)).max() == 0


@pytest.mark.parametrize("name", ["iiit5k/train", "icdar2015/train", "funsd/train", "sroie/train"])
def test_real_jpegs_are_whole(shared_data, name):
    source = open_source(str(shared_data / f"{name}.jsonl"))
    refused = []
    for index in range(0, len(source), 25):
        data = source.read(index).data
        image = decode_image(data)
        expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(image, expected)
        try:
            decode_image(data[: len(data) * 3 // 5] + bytes(len(data) - len(data) * 3 // 5))
        except BrokenImageError:
            refused.append(index)
    assert len(refused) == len(range(0, len(source), 25))
