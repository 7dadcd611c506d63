"""Colors of a given luma, backgrounds, ink and camera by value."""

import pickle

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mms_ocr.cli import main as cli
from mms_ocr.rendering import BackgroundImages, RenderSettings, backgrounds
from mms_ocr.rendering.backgrounds import make_background, ramp, smooth_noise
from mms_ocr.rendering.camera import take_photograph
from mms_ocr.rendering.colors import color_of_luma, contrasting_luma, luma
from mms_ocr.rendering.ink import _moved, blend, lay_ink

PLAIN = RenderSettings.at(0)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), target=st.floats(0, 1), saturation=st.floats(0, 1))
def test_colors_have_the_given_luma(seed, target, saturation):
    color = color_of_luma(np.random.default_rng(seed), target, saturation)
    assert color.min() >= -1e-6
    assert color.max() <= 1 + 1e-6
    assert color @ np.array([0.114, 0.587, 0.299]) == pytest.approx(target, abs=1e-5)
    if saturation == 0:
        assert np.ptp(color) == 0


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    background=st.floats(0, 1),
    ends=st.tuples(st.floats(0.02, 1), st.floats(0.02, 1)).map(sorted),
)
def test_contrast_is_in_the_range_or_the_maximum(seed, background, ends):
    ink = contrasting_luma(np.random.default_rng(seed), background, tuple(ends))
    assert -1e-9 <= ink <= 1 + 1e-9
    distance, room = abs(ink - background), max(background, 1 - background)
    assert min(ends[0], room) - 1e-9 <= distance <= ends[1] + 1e-9


def test_luma_is_that_of_gray_scale_conversion():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    assert luma(image) == pytest.approx(gray.mean() / 255, abs=1e-3)


def test_ramp_and_noise_keep_their_ranges():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        slope = ramp(rng, 20, 70)
        assert np.abs(slope).max() <= 0.5
        assert np.ptp(slope) > 0.9
        assert abs(slope.mean()) < 1e-5
        noise = smooth_noise(rng, 20, 70, 8.0)
        assert -1 <= noise.min() < 0 < noise.max() <= 1


def test_plain_background_is_one_gray():
    picture = make_background(np.random.default_rng(3), 20, 50, PLAIN)
    assert np.ptp(picture) == 0


def test_background_probabilities_act():
    def variety(**overrides: float) -> float:
        strict = RenderSettings.at(0, **overrides)
        pictures = [make_background(np.random.default_rng(s), 30, 80, strict) for s in range(30)]
        assert all(p.shape == (30, 80, 3) and p.min() >= 0 and p.max() <= 255 for p in pictures)
        return float(np.mean([np.ptp(p) > 1 for p in pictures]))

    assert variety() == 0
    for name in ("gradient", "clouds", "texture", "panel"):
        assert variety(**{name: 1}) > 0.8, name


def test_blend():
    picture = np.full((2, 2, 3), 100, np.float32)
    blend(picture, np.array([[0, 0.5], [1, 0.25]], np.float32), np.array([0, 100, 200], np.float32))
    assert picture[0, 0].tolist() == [100, 100, 100]
    assert picture[0, 1].tolist() == [50, 100, 150]
    assert picture[1, 0].tolist() == [0, 100, 200]
    assert picture[1, 1].tolist() == [75, 100, 125]


def test_moved_ink():
    ink = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert _moved(ink, 1, 0).tolist() == [[0, 0, 1, 2], [0, 4, 5, 6], [0, 8, 9, 10]]
    assert _moved(ink, -1, np.pi / 2).tolist() == [[4, 5, 6, 7], [8, 9, 10, 11], [0, 0, 0, 0]]
    assert not _moved(ink, 9, 0.3).any()


@pytest.mark.parametrize("name", ["outline", "shadow", "emboss", "ink_gradient"])
def test_ink_effects_act(name):
    coverage = np.zeros((40, 60), np.uint8)
    coverage[10:30, 10:50] = 255
    pictures = []
    for overrides in ({}, {name: 1}):
        picture = np.full((40, 60, 3), 128, np.float32)
        lay_ink(
            np.random.default_rng(1), picture, coverage, None, 40, RenderSettings.at(0, **overrides)
        )
        pictures.append(picture)
    plain, effect = (
        np.ptp(p[coverage == (255 if name == "ink_gradient" else 0)]) for p in pictures
    )
    assert plain == 0 < effect


def test_neighbours_are_written_under_the_word():
    coverage, other = np.zeros((2, 30, 40), np.uint8)
    coverage[10:20, 10:20] = 255
    other[10:20, 15:30] = 255
    picture = np.full((30, 40, 3), 200, np.float32)
    lay_ink(np.random.default_rng(2), picture, coverage, other, 20, PLAIN)
    assert np.ptp(picture[12:18, 10:20]) == 0
    assert (picture[15, 25] != 200).any()
    assert (picture[5, 5] == 200).all()


def _photograph(**overrides: float) -> tuple[np.ndarray, np.ndarray]:
    clean = np.full((48, 160, 3), 180, np.uint8)
    cv2.putText(clean, "Camera", (10, 36), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (40, 60, 80), 3)
    settings = RenderSettings.at(0, **overrides)
    photographs = [
        take_photograph(np.random.default_rng(seed), clean, 40.0, settings) for seed in range(8)
    ]
    assert all(p.shape == clean.shape and p.dtype == np.uint8 for p in photographs)
    return clean, np.stack(photographs)


def test_a_plain_camera_changes_nothing():
    clean, photographs = _photograph()
    assert (photographs == clean).all()


@pytest.mark.parametrize(
    "overrides",
    [
        dict(light=0.5), dict(tint=0.3), dict(glare=1), dict(occlusion=1),
        dict(defocus=1, defocus_sigma=0.2), dict(motion=1, motion_length=0.5),
        dict(low_resolution=1, lowest_height=8), dict(exposure=0.5), dict(noise=0.3),
        dict(jpeg=1, jpeg_quality=(10, 20)), dict(sharpening=1),
    ],
    ids=lambda overrides: next(iter(overrides)),
)  # fmt: skip
def test_each_degradation_acts_alone(overrides):
    clean, photographs = _photograph(**overrides)
    changed = [(photograph != clean).any() for photograph in photographs]
    assert np.mean(changed) >= 0.5
    assert len({photograph.tobytes() for photograph in photographs}) >= 4


def test_background_images(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder of background images"):
        BackgroundImages(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no image here or below"):
        BackgroundImages(tmp_path)
    (tmp_path / "below").mkdir()
    picture = np.zeros((300, 400, 3), np.uint8)
    picture[..., 2] = 200
    cv2.imwrite(str(tmp_path / "below" / "red.png"), picture)
    images = BackgroundImages(tmp_path)
    crop = images.crop(np.random.default_rng(0), 40, 120)
    assert crop.shape == (40, 120, 3)
    assert (crop == [0, 0, 200]).all()
    always = RenderSettings.at(0, image=1)
    assert (make_background(np.random.default_rng(0), 9, 9, always, images) == [0, 0, 200]).all()
    (tmp_path / "below" / "red.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"all of 1 images are broken; .*red\.png: "):
        BackgroundImages(tmp_path)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Two good images, one of them with a name outside UTF-8, and the warnings about others."""
    messages: list[str] = []
    monkeypatch.setattr(backgrounds, "warn", messages.append)
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    data = cv2.imencode(".jpg", np.full((60, 90, 3), 77, np.uint8))[1].tobytes()
    (folder / "1.jpg").write_bytes(data)
    (folder / "sub" / "\udce9.jpg").write_bytes(data)
    return folder, data, messages


BROKEN = [
    lambda data: b"",
    lambda data: b"text",
    lambda data: data[: len(data) // 2],
    lambda data: b"BM" + data,
]


@pytest.mark.parametrize("damage", BROKEN)
def test_broken_backgrounds_change_nothing(photos, damage):
    folder, data, messages = photos
    good = BackgroundImages(folder)
    assert good.files == ["1.jpg", "sub/\udce9.jpg"]
    (folder / "0.jpg").write_bytes(damage(data))
    (folder / "._1.jpg").write_bytes(b"macOS")
    (folder / "x.jpg").mkdir()
    images = BackgroundImages(folder)
    assert images.files == good.files
    assert "left out 1 of 3 images as broken" in messages[0]
    crops = [source.crop(np.random.default_rng(4), 20, 50) for source in (good, images)]
    np.testing.assert_array_equal(*crops)
    # A worker process does not look again, and so has the same images.
    (folder / "0.jpg").write_bytes(data)
    assert pickle.loads(pickle.dumps(images)).files == good.files


def test_masks_are_no_backgrounds(photos):
    folder, data, _ = photos
    (folder / "1.jpg").unlink()
    for name in ("image", "mask"):
        (folder / "sub" / name).mkdir()
        (folder / "sub" / name / "1.jpg").write_bytes(data)
    (folder / "sub" / "\udce9.jpg").unlink()
    assert BackgroundImages(folder).files == ["sub/image/1.jpg"]


def test_a_render_is_resumed_without_the_broken_background(photos, tmp_path):
    folder, _, _ = photos
    (folder / "zz.jpg").write_bytes(b"text")
    command = ["render", "--backgrounds", str(folder), "--count", "3", "--workers", "1"]
    command += ["--set", "image=1", "--out", str(tmp_path / "w")]
    assert cli.main(command) == 0
    (folder / "zz.jpg").unlink()
    assert cli.main(command) == 0
