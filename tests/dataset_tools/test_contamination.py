from __future__ import annotations

import io

import cv2
import imagehash
import numpy as np
import pytest
from made_images import encode
from PIL import Image

from mms_ocr.dataset_tools.contamination import find_contamination
from mms_ocr.dataset_tools.fingerprints import fingerprints, perceptual_hash
from mms_ocr.datasets import open_source


def smooth(number: int, height: int = 32, width: int = 96) -> np.ndarray:
    """A distinctive image that stays recognizable after compression and scaling."""
    small = np.random.default_rng(number).integers(0, 256, (5, 12, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def bitmap(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image[:, :, ::-1].copy()).save(buffer, "BMP")
    return buffer.getvalue()


@pytest.fixture
def sources(make_source):
    test = [encode(smooth(number)) for number in range(40)]
    train = [
        encode(smooth(100)),
        test[7],  # the same file
        bitmap(smooth(8)),  # the same pixels in another format
        encode(cv2.resize(smooth(9), (200, 70)), ".jpg"),  # another size and compression
        encode(cv2.convertScaleAbs(smooth(10), alpha=0.6, beta=20), ".jpg"),  # fainter
        encode(smooth(101)),
        b"broken",
        encode(np.full((32, 96, 3), 200, np.uint8)),  # blank, and not alike to other blank ones
    ]
    test.append(encode(np.full((20, 50, 3), 30, np.uint8)))
    return [open_source(make_source("lmdb", train, name="train"))], [
        open_source(make_source("lmdb", test[:20], name="a")),
        open_source(make_source("lmdb", [*test[20:], b"broken"], name="b")),
    ]


def test_matches_by_kind(sources):
    result = find_contamination(*sources)
    assert [(match.train[1], match.test, match.kind) for match in result.matches] == [
        (1, (0, 7), "file"),
        (2, (0, 8), "pixels"),
        (3, (0, 9), "near"),
        (4, (0, 10), "near"),
    ]
    assert result.matches[0].distance == 0
    assert result.clean_indices(0, 8).tolist() == [0, 5, 6, 7]
    assert "image-000000007" in result.broken_train[0]
    assert "image-000000022" in result.broken_test[0]


def test_workers_find_the_same(sources):
    assert find_contamination(*sources, workers=2) == find_contamination(*sources)


def test_distances_against_imagehash_itself(sources):
    train, test = sources
    every = find_contamination(train, test, max_distance=0.499).matches
    looks = {}
    for place, source in enumerate(test):
        for index in range(len(source)):
            if (place, index) not in ((1, 20), (1, 21)):  # blank, broken
                image = Image.open(io.BytesIO(source.read(index).data)).convert("RGB")
                looks[place, index] = imagehash.phash(image, hash_size=16)
    near = [match for match in every if match.kind == "near"]
    assert len(near) >= 3
    for match in near:
        image = Image.open(io.BytesIO(train[0].read(match.train[1]).data)).convert("RGB")
        look = imagehash.phash(image, hash_size=16)
        nearest = min(look - other for other in looks.values())
        assert look - looks[match.test] == nearest
        assert match.distance == pytest.approx(nearest / 256)


def test_max_distance_limits_matches(sources):
    assert [match.kind for match in find_contamination(*sources, max_distance=0).matches][:2] == [
        "file",
        "pixels",
    ]
    with pytest.raises(ValueError, match=r"distance is 0\.5"):
        find_contamination(*sources, max_distance=0.5)


def test_other_words_are_not_near(make_source):
    train = open_source(make_source("lmdb", [encode(smooth(i)) for i in range(50)], name="a"))
    test = open_source(make_source("lmdb", [encode(smooth(i)) for i in range(50, 99)], name="b"))
    assert find_contamination([train], [test]).matches == []


def test_blank_images_have_no_perceptual_hash():
    assert perceptual_hash(np.full((9, 9, 3), 77, np.uint8)) is None
    assert perceptual_hash(smooth(1)).shape == (256,)


def test_chosen_fingerprints(sources):
    chosen = list(fingerprints(sources[1][0], indices=[3, 1]))
    assert [fingerprint.index for fingerprint in chosen] == [3, 1]
    assert chosen[0].shape == (32, 96)
    assert chosen[0].phash is None


def test_words_in_both_parts_of_iiit5k(shared_data):
    folder = shared_data / "iiit5k"
    train, test = (open_source(folder / f"{part}.jsonl") for part in ("train", "test"))
    result = find_contamination([train], [test], max_distance=0.11)
    # Judged by eye: the same sign or web page, seen in two photographs.
    assert [(train.name(m.train[1]), test.name(m.test[1])) for m in result.matches] == [
        (str(folder / "train" / first), str(folder / "test" / second))
        for first, second in [
            ("1053_1.jpg", "1049_1.jpg"),
            ("1053_8.jpg", "1050_8.jpg"),
            ("2059_4.jpg", "2059_6.jpg"),
            ("2105_1.jpg", "2105_2.jpg"),
            ("2359_3.jpg", "2129_3.jpg"),
        ]
    ]
