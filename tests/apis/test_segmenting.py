"""WordSegmenter and ``mms-ocr segment``: pictures by value, and what cannot be used."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import BaseDataElement
from tiny_models import write_pixel_config

from mms_ocr.apis.bundled_configs import find_config
from mms_ocr.apis.segmenting import SegmentedWord, WordSegmenter
from mms_ocr.cli import main as cli
from mms_ocr.datasets.transforms import resize_word_image
from mms_ocr.registry import MODELS


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Config and weights of a small segmentor."""
    folder = tmp_path_factory.mktemp("run")
    base = find_config("mms_vit_t_seg_rendered", "segmentation")
    config = write_pixel_config(folder / "small.py", base)
    model = MODELS.build(Config.fromfile(config).model)
    model.init_weights()
    torch.nn.init.normal_(model.decoder.pred.weight)
    torch.save(dict(state_dict=model.state_dict()), folder / "weights.pth")
    return folder


@pytest.fixture
def segmenter(run):
    return WordSegmenter(
        str(run / "weights.pth"), str(run / "small.py"), device="cpu", batch_size=2
    )


def word(number, height=24, width=70):
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_masks_and_probabilities(segmenter):
    images = [word(0), word(1, 50, 41), word(2, 32, 128)]
    results = segmenter(images)
    assert [result.name for result in results] == ["image 1", "image 2", "image 3"]
    for image, result in zip(images, results):
        resized = torch.from_numpy(resize_word_image(image, (32, 128)).transpose(2, 0, 1))
        sample = BaseDataElement(metainfo=dict(ori_shape=image.shape[:2]))
        (expected,) = segmenter.model.test_step(dict(inputs=[resized], data_samples=[sample]))
        np.testing.assert_allclose(
            result.probability, expected.seg_logits.data[0].sigmoid(), atol=1e-5
        )
        assert result.mask.shape == image.shape[:2]
        assert result.image is image


def test_a_path_an_array_and_a_list_give_the_same(segmenter, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), word(0))
    expected = segmenter(word(0))[0].probability
    for given in (str(tmp_path / "a.png"), [tmp_path / "a.png"]):
        np.testing.assert_allclose(segmenter(given)[0].probability, expected, atol=1e-6)
    assert segmenter([]) == []


def test_pictures_of_a_word():
    image = np.full((1, 3, 3), 100, np.uint8)
    probability = np.array([[0.0, 0.4, 1.0]], np.float32)
    result = SegmentedWord("a", image, probability, threshold=0.5)
    assert result.mask.tolist() == [[False, False, True]]
    assert result.cutout()[0].tolist() == [
        [100, 100, 100, 0], [100, 100, 100, 102], [100, 100, 100, 255],
    ]  # fmt: skip
    assert result.overlay()[0, :2].tolist() == [[100] * 3] * 2
    assert result.overlay()[0, 2].tolist() == [201, 35, 201]  # 0.35 * 100 + 0.65 * 255
    assert SegmentedWord("a", image, probability, threshold=0.3).mask.sum() == 2


def test_the_command_writes_three_pictures_a_word(run, segmenter, tmp_path, capsys):
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), word(number))
    (tmp_path / "1.png").write_bytes(b"no image")
    out = tmp_path / "out"
    arguments = ["segment", *(str(tmp_path / f"{number}.png") for number in range(4))]
    arguments += ["--out", str(out), "--weights", str(run / "weights.pth")]
    arguments += ["--config", str(run / "small.py"), "--device", "cpu"]
    assert cli.main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.out.endswith("of 2 words\n")
    lines = [line for line in captured.err.splitlines() if line.startswith("mms-ocr segment: ")]
    assert lines == [
        f"mms-ocr segment: {tmp_path}/1.png: not an image of a known format",
        f"mms-ocr segment: {tmp_path}/3.png: there is no such file or folder",
        "mms-ocr segment: 2 of 4 images could not be used",
    ]
    kinds = ("cutout", "mask", "overlay")
    assert sorted(path.name for path in out.iterdir()) == [
        f"{number}_{kind}.png" for number in (0, 2) for kind in kinds
    ]
    (expected,) = segmenter(word(2))
    mask = cv2.imread(str(out / "2_mask.png"), cv2.IMREAD_UNCHANGED)
    assert (mask == expected.mask * 255).mean() > 0.999
    cutout = cv2.imread(str(out / "2_cutout.png"), cv2.IMREAD_UNCHANGED)
    assert cutout.shape == (24, 70, 4)
    np.testing.assert_array_equal(cutout[:, :, :3], word(2))
    assert np.abs(cutout[:, :, 3] / 255 - expected.probability).max() < 0.005
    del arguments[2:5]  # all of what is left is fine
    assert cli.main(arguments) == 0


def test_weights_and_configs_that_do_not_fit(run, tmp_path):
    weights = str(run / "weights.pth")
    with pytest.raises(
        ValueError, match=r"the config of .*weights.pth is needed \(the checkpoint does not say\)"
    ):
        WordSegmenter(weights)
    with pytest.raises(ValueError, match="does not fit TextSegmentor"):
        WordSegmenter(weights, "mms_vit_t_seg_rendered")
    with pytest.raises(
        ValueError, match=r"pretrain_vit_t.py describes no segmentor: its model is mms_ocr.MMS"
    ):
        WordSegmenter(weights, "mms/pretrain_vit_t")
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        WordSegmenter(str(tmp_path / "none.pth"))
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        WordSegmenter(weights, str(run / "small.py"), batch_size=0)
    with pytest.raises(ValueError, match=r"threshold must lie in \(0, 1\)"):
        WordSegmenter(weights, str(run / "small.py"), threshold=1.5)
    for device in ("cuda:99", "gpu"):
        with pytest.raises(ValueError, match=f"there is no device '{device}'"):
            WordSegmenter(weights, str(run / "small.py"), device=device)


def test_a_file_in_place_of_the_folder(run, tmp_path, capsys):
    (tmp_path / "out").write_text("")
    arguments = ["segment", "a.png", "--out", str(tmp_path / "out")]
    assert cli.main([*arguments, "--weights", str(run / "weights.pth")]) == 2
    assert "out is a file; give a folder" in capsys.readouterr().err


@pytest.mark.parametrize(("arch", "name"), [("tiny", "t"), ("small", "s")])
def test_the_config_is_found_by_the_width_of_the_encoder(tmp_path, arch, name):
    config = Config.fromfile(find_config(f"mms_vit_{name}_seg_rendered", "segmentation"))
    torch.save(dict(state_dict=MODELS.build(config.model).state_dict()), tmp_path / "w.pth")
    model = WordSegmenter(str(tmp_path / "w.pth"), device="cpu").model
    assert model.backbone.embed_dims == {"tiny": 192, "small": 384}[arch]
