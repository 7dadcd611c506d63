"""Images as users give them."""

import cv2
import numpy as np
import pytest

from mms_ocr.apis.given_images import given_images, output_stem


def pixels(number, height=10, width=20):
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), pixels(number))
    return tmp_path


def test_one_of_each(folder):
    grey = pixels(7)[:, :, 0]
    found = list(given_images([str(folder / "1.png"), folder, pixels(5), grey]))
    names = [folder / "1.png", *(folder / f"{n}.png" for n in range(3)), "array 0", "array 1"]
    assert [given.name for given in found] == [str(name) for name in names]
    for given, expected in zip(found, [1, 0, 1, 2, 5]):
        np.testing.assert_array_equal(given.image, pixels(expected))
    np.testing.assert_array_equal(found[-1].image, np.repeat(grey[:, :, None], 3, axis=2))


@pytest.mark.parametrize("kind", [str, lambda path: path, lambda path: cv2.imread(str(path))])
def test_a_single_one_needs_no_list(folder, kind):
    (given,) = given_images(kind(folder / "2.png"))
    np.testing.assert_array_equal(given.image, pixels(2))


def test_what_cannot_be_used_is_reported_and_the_rest_goes_on(folder):
    (folder / "1.png").write_bytes(b"no image")
    (folder / "alone.jpg").write_bytes(b"")
    inputs = [folder, folder / "missing.png", np.zeros((2, 2)), pixels(9)]
    told = []
    found = list(given_images(inputs, told.append))
    assert [given.name.rpartition("/")[2] for given in found] == ["0.png", "2.png", "array 1"]
    for message, expected in zip(
        told,
        [
            "1.png: not an image of a known format",
            "alone.jpg: the file is empty",
            "there is no image or folder",
            "array 0 is float64 (2, 2); give uint8",
        ],
        strict=True,
    ):
        assert expected in message


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("nowhere.png", FileNotFoundError, "there is no image or folder 'nowhere.png'"),
        (np.zeros((0, 5, 3), np.uint8), ValueError, r"array 0 is uint8 \(0, 5, 3\)"),
        (np.zeros((5, 5, 4), np.uint8), ValueError, r"array 0 is uint8 \(5, 5, 4\)"),
        (3, TypeError, "by its path or as an array, got a int"),
    ],
)
def test_without_a_report_it_is_an_error(given, error, message):
    with pytest.raises(error, match=message):
        list(given_images([given]))


def test_an_empty_folder(tmp_path):
    with pytest.raises(ValueError, match="holds no image files"):
        list(given_images(tmp_path))


def test_names_of_results_are_unique():
    taken = set()
    names = ["a/x.jpg", "b/x.png", "w.lmdb:image-000000001", "array 0", "x_2.png", "v1.2"]
    assert [output_stem(name, taken) for name in names] == [
        "x", "x_2", "w.lmdb_image-000000001", "array_0", "x_2_2", "v1.2",
    ]  # fmt: skip
