"""The last picture of the demo, and the demo without bundled weights."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mms_ocr.visualization import draw_text


@pytest.fixture
def demo(tool):
    return tool("demo.py")


def test_sheet_shows_the_output_of_each_model(demo):
    words = [np.full((32, 128, 3), (10, 20, 30 * k), np.uint8) for k in (1, 2)]

    def read(images):
        return [SimpleNamespace(text=f"w{image[0, 0, 2]}") for image in images]

    def segment(images):
        return [SimpleNamespace(mask=image[..., 2] > 40) for image in images]

    def upscale(images):
        assert [image.shape for image in images] == [(16, 64, 3)] * 2
        return [SimpleNamespace(upscaled=cv2.resize(255 - image, (128, 32))) for image in images]

    sheet = demo.reading_sheet(words, read, segment, upscale)
    height, width, gap, header = 64, 256, 4, 14
    for row, red in enumerate((30, 60)):
        top = header + gap + row * (height + gap)
        cells = [
            sheet[top : top + height, left : left + width]
            for left in range(gap, 5 * (width + gap), width + gap)
        ]
        color = np.array((red, 20, 10))
        for cell, value in zip(cells, (color, None, [255 * (red > 40)] * 3, color, 255 - color)):
            if value is None:
                np.testing.assert_array_equal(cell, draw_text(f"w{red}"))
            else:
                assert (cell == value).all()
    # A model that is not there has no column.
    assert demo.reading_sheet(words, reader=read).shape[1] == 2 * (width + gap) + gap


def test_models_that_are_not_bundled_are_named(demo, monkeypatch, capsys):
    def missing():
        raise FileNotFoundError("this version bundles no weights")

    for name in ("WordReader", "WordSegmenter"):
        monkeypatch.setattr(demo, name, missing)
    monkeypatch.setattr(demo, "WordUpscaler", lambda: "an upscaler")
    assert demo.bundled_models() == {"upscaler": "an upscaler"}
    printed = capsys.readouterr().out
    assert "no reader: this version" in printed
    assert "no segmenter: this version" in printed
