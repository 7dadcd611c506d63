"""Upscaling from Python and from the command line."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from tiny_models import write_pixel_config

from mms_ocr.apis.upscaling import WordUpscaler
from mms_ocr.cli.main import main
from mms_ocr.datasets.transforms import resize_word_image
from mms_ocr.evaluation.restored_words import read_words
from mms_ocr.registry import METRICS, MODELS


@pytest.fixture(scope="module")
def tiny_resolver(tmp_path_factory, repository):
    """Config and checkpoint of a model that gives the bicubic image, but for a darker red."""
    folder = tmp_path_factory.mktemp("resolver")
    base = repository / "configs" / "super_resolution" / "mms_vit_s_sr_rendered.py"
    config, weights = write_pixel_config(folder / "tiny.py", base), str(folder / "tiny.pth")
    model = MODELS.build(Config.fromfile(config).model)
    model.init_weights()
    model.decoder.pred.bias.data.view(16, 3)[:, 0] = -20 / 127.5
    torch.save({"state_dict": model.state_dict()}, weights)
    return config, weights


def darkened(image):
    """Compute the output of that model for BGR pixels at its own size."""
    small = resize_word_image(image, (16, 64)).astype(np.float32)
    large = cv2.resize(small, (128, 32), interpolation=cv2.INTER_CUBIC)
    large[:, :, 2] -= 20
    return np.clip(large, 0, 255)


@pytest.mark.parametrize("shape", [(16, 64), (9, 31), (40, 50), (20, 300)])
def test_upscaled_image_is_twice_the_size_of_the_word(tiny_resolver, shape):
    config, weights = tiny_resolver
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (4, 12, 3), np.uint8)
    image = cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC)
    (word,) = WordUpscaler(weights, config, "cpu")(image)
    assert word.name == "image 1"
    assert np.array_equal(word.image, image)
    assert np.abs(word.network_image - darkened(image)).max() <= 0.51
    assert word.upscaled.shape == (2 * shape[0], 2 * shape[1], 3)
    expected = resize_word_image(word.network_image, (2 * shape[0], 2 * shape[1]))
    assert np.array_equal(word.upscaled, expected)
    assert word.shrunk == (shape[0] > 16 or shape[1] > 64)


def test_paths_arrays_and_lists_in_batches(tiny_resolver, word_images):
    config, weights = tiny_resolver
    paths = word_images(3)
    upscaler = WordUpscaler(weights, config, "cpu", batch_size=2)
    words = upscaler([paths[0], cv2.imread(paths[1]), paths[2]])
    assert [word.name for word in words] == [paths[0], "image 2", paths[2]]
    folder = upscaler(paths[0].rsplit("/", 1)[0])
    for first, second in zip(words, folder):
        np.testing.assert_allclose(first.upscaled, second.upscaled, atol=1)


def run(capsys, *arguments):
    status = main(["upscale", *arguments])
    captured = capsys.readouterr()
    return status, captured.out.splitlines(), captured.err.splitlines()


def test_the_command_writes_pictures_and_names_broken_images(
    tiny_resolver, word_images, tmp_path, capsys
):
    config, weights = tiny_resolver
    (again,), paths = word_images(1, "more"), word_images(2)
    (tmp_path / "images" / "bad.png").write_bytes(b"no image")
    out = tmp_path / "out"
    options = ["--out", str(out), "--weights", weights, "--config", config, "--device", "cpu"]
    status, lines, errors = run(capsys, str(tmp_path / "images"), "gone.png", again, *options)
    assert status == 1
    assert sorted(path.name for path in out.iterdir()) == ["0.png", "0_2.png", "1.png"]
    for path, name in ((paths[0], "0.png"), (paths[1], "1.png")):
        given, made = cv2.imread(path), cv2.imread(str(out / name))
        assert made.shape == (2 * given.shape[0], 2 * given.shape[1], 3)
    reports = [line for line in errors if line.startswith("mms-ocr upscale: ")]
    assert reports == [
        f"mms-ocr upscale: {tmp_path}/images/bad.png: not an image of a known format",
        "mms-ocr upscale: gone.png: there is no such file or folder",
        "mms-ocr upscale: 2 of 5 images could not be used",
    ]
    assert f"{out}: 3 words upscaled" in lines
    assert any("3 of them are larger than the network" in line for line in lines)
    assert run(capsys, paths[0], *options, "--size", "network")[0] == 0
    assert cv2.imread(str(out / "0.png")).shape == (32, 128, 3)


def test_wrong_weights_and_configs_give_one_line(tiny_resolver, word_images, tmp_path, capsys):
    config, weights = tiny_resolver
    (path,) = word_images(1)
    options = [path, "--out", str(tmp_path / "out")]
    cases = [
        (["--weights", weights], "give the file that the super-resolution was trained with"),
        (["--weights", weights, "--config", "mms_vit_s_sr_rendered"], "does not fit"),
        (["--weights", weights, "--config", "nothing_such"], "no config 'nothing_such'"),
        (["--weights", "gone.pth", "--config", config], "no checkpoint gone.pth"),
        (["--weights", weights, "--config", config, "--batch-size", "0"], "--batch-size is 0"),
        (["--weights", weights, "--config", config, "--device", "cuda:99"], "no device 'cuda:99'"),
        (
            ["--weights", weights, "--config", "configs/_base_/models/mms.py"],
            "mms.py describes no super-resolution: its model is mms_ocr.MMS",
        ),
    ]
    for given, message in cases:
        status, _, errors = run(capsys, *options, *given)
        assert status == 2
        (line,) = [line for line in errors if line.startswith("mms-ocr upscale: ")]
        assert message in line
    assert not (tmp_path / "out").exists()


def test_recognizer_reads_restored_words(tiny_recognizer, tiny_resolver, word_images):
    """The metric of word accuracy, with a recognizer from its files."""
    config, weights = tiny_recognizer
    recognizer = dict(config=config, weights=weights)
    metric = METRICS.build(
        dict(type="mms_ocr.RestoredWordAccuracy", recognizer=recognizer, device="cpu")
    )
    images = [
        torch.from_numpy(cv2.resize(cv2.imread(path), (128, 32))[:, :, ::-1].copy()) / 255
        for path in word_images(3)
    ]
    planes = [image.permute(2, 0, 1).float() for image in images]
    texts = read_words(metric.recognizer, planes)
    assert len(set(texts)) > 1
    samples = [
        dict(text=text, gt_img=image, pred_img=image, bicubic_img=image.flip(2))
        for text, image in zip(texts, planes)
    ]
    metric.process(None, samples)
    numbers = metric.evaluate(3)
    assert numbers["HR/word_acc"] == numbers["SR/word_acc"] == 1
    assert numbers["LR/word_acc"] < 1
