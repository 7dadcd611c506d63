"""WordReader against the model itself, and MMOCR's inferencer with our configs."""

import importlib

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate

from mms_ocr import apis
from mms_ocr.apis.bundled_configs import find_config
from mms_ocr.apis.trained_models import RECOGNITION, load_config
from mms_ocr.registry import DATASETS


@pytest.fixture
def reading(tiny_recognizer):
    return importlib.import_module("mms_ocr.apis.reading")


@pytest.fixture
def reader(reading, tiny_recognizer):
    return reading.WordReader(*tiny_recognizer[::-1], device="cpu")


def test_words_and_confidences_are_those_of_the_test_set(
    reader, tiny_recognizer, word_images, label_words
):
    """The reference is the model on the data set of its config; the batch size does not matter."""
    paths = word_images(5)
    labels = label_words(paths, ["x"] * 5, "all")
    cfg = Config.fromfile(tiny_recognizer[0])
    dataset = DATASETS.build(
        dict(
            type="mms_ocr.WordImageDataset",
            path=labels,
            labelled=True,
            pipeline=cfg.test_dataloader.dataset.pipeline,
        )
    )
    with torch.no_grad():
        expected = reader.model.test_step(pseudo_collate([dataset[i] for i in range(5)]))
    texts = [sample.pred_text.item for sample in expected]
    assert len(set(texts)) > 2, "the random recognizer reads every image alike"
    for batch_size in (1, 2, 64):
        reader.batch_size = batch_size
        readings = reader(paths)
        assert [reading.name for reading in readings] == paths
        assert [reading.text for reading in readings] == texts
        for reading, sample in zip(readings, expected):
            assert reading.confidence == pytest.approx(sample.pred_text.confidence, rel=1e-3)
            assert reading.char_confidences == pytest.approx(sample.pred_text.score, rel=1e-3)
    arrays = [cv2.imread(path) for path in paths]
    assert [word.text for word in reader(arrays)] == texts
    encoded = reader([open(paths[3], "rb").read()])  # noqa: SIM115
    assert (encoded[0].name, encoded[0].text) == ("image 1", texts[3])
    assert reader(paths[2]).text == texts[2]


def test_a_folder_a_pattern_and_a_data_set_give_lists(reader, word_images, label_words):
    paths = word_images(3)
    expected = reader(paths)
    folder = paths[0].rpartition("/")[0]
    for given in (folder, [folder], f"{folder}/*.png", label_words(paths, ["x"] * 3, "all")):
        assert reader(given) == expected
        assert list(reader.stream(given)) == expected
    with pytest.raises(FileNotFoundError, match=r"gone\.png: there is no such file"):
        reader("gone.png")


def test_characters_have_confidences_only_if_there_is_one_each(reading):
    confidences = importlib.import_module("mms_ocr.apis.recognizers").character_confidences
    scored = dict(item="ab", score=[0.5, 0.25])
    assert confidences(scored) == (0.5, 0.25)
    assert confidences(dict(scored, char_confidences=[0.75, 1])) == (0.75, 1.0)
    assert confidences(dict(item="a<UKN>", score=[0.5, 0.25])) is None
    assert confidences(dict(item="ab")) is None
    assert confidences(dict(item="", score=[])) == ()


def test_gray_arrays_are_read_as_gray_colors(reader, word_images):
    gray = cv2.imread(word_images(1)[0], cv2.IMREAD_GRAYSCALE)
    assert reader(gray).text == reader(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)).text


def test_broken_images_leave_the_others_alone(reader, word_images, tmp_path):
    paths = word_images(3)
    (tmp_path / "images" / "1.png").write_bytes(b"no image")
    reader.batch_size = 2
    texts = [word.text for word in reader.stream([*paths, "missing.png", np.zeros((4, 4, 2))])]
    assert texts[1] is texts[3] is texts[4] is None
    assert [texts[0], texts[2]] == [word.text for word in reader([paths[0], paths[2]])]
    errors = [word.error for word in reader.stream([paths[1], "missing.png", np.zeros((4, 4, 2))])]
    assert errors[0] == "not an image of a known format"
    assert errors[1] == "there is no such file or folder"
    assert "an array of float64 (4, 4, 2)" in errors[2]
    with pytest.raises(ValueError, match=r"1\.png: not an image of a known format"):
        reader(paths)
    reports = []
    readings = reader([*paths, "missing.png"], report=reports.append)
    assert [reading.text for reading in readings] == [texts[0], texts[2]]
    assert [line.partition(": ")[0] for line in reports] == [paths[1], "missing.png"]


def test_inferencer_of_mmocr_reads_the_same_words(reading, reader, tiny_recognizer, word_images):
    from mmocr.apis import TextRecInferencer

    paths = word_images(3)
    expected = [item.text for item in reader(paths)]
    inferencer = apis.mmocr_inferencer(*tiny_recognizer[::-1], device="cpu")
    result = inferencer([*paths, cv2.imread(paths[0])], batch_size=2, progress_bar=False)
    assert [item["text"] for item in result["predictions"]] == [*expected, expected[0]]
    cfg = apis.inferencer_config(tiny_recognizer[0])
    by_itself = TextRecInferencer(model=cfg, weights=tiny_recognizer[1], device="cpu")
    result = by_itself(paths[1], progress_bar=False, return_vis=True)
    assert result["predictions"][0]["text"] == expected[1]
    assert result["visualization"][0].shape[1] >= 60


def test_configs_of_mmocr_have_a_pipeline_for_reading(reading):
    recognizers = importlib.import_module("mms_ocr.apis.recognizers")
    cfg = Config(
        dict(
            test_dataloader=dict(
                dataset=dict(
                    pipeline=[
                        dict(type="LoadImageFromFile"),
                        dict(type="Resize", scale=(100, 32)),
                        dict(type="LoadOCRAnnotations", with_text=True),
                        dict(type="PackTextRecogInputs"),
                    ]
                )
            )
        )
    )
    kinds = [transform["type"] for transform in recognizers.inference_pipeline(cfg)]
    assert kinds == ["Resize", "mmocr.PackTextRecogInputs"]
    cfg.test_dataloader.dataset.pipeline[0].color_type = "grayscale"
    gray = Compose(recognizers.inference_pipeline(cfg)[:-2])
    image = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    expected = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    np.testing.assert_allclose(gray(dict(img=image))["img"].astype(int), expected, atol=1)
    cfg.test_dataloader.dataset.pipeline.pop()
    with pytest.raises(ValueError, match="does not end in"):
        recognizers.inference_pipeline(cfg)


class Bomb:
    def __reduce__(self):
        return (print, ("a checkpoint was run",))


def test_checkpoints_run_no_code(reading, tiny_recognizer, tmp_path, capsys):
    config, weights = tiny_recognizer
    state = torch.load(weights, weights_only=True)["state_dict"]
    path = tmp_path / "w.pth"
    torch.save(dict(state_dict=state, meta=dict(cfg=Bomb())), path)
    with pytest.raises(ValueError, match="was refused: it carries the object"):
        reading.WordReader(path, config)
    # A config stored as text is Python: it is not run either, only the run's name is used.
    meta = dict(cfg="print('a checkpoint was run')", experiment_name="x_20260101_000000")
    torch.save(dict(state_dict=state, meta=meta), path)
    with pytest.raises(
        ValueError, match="trained with 'x', none of the bundled recognizer configs"
    ):
        reading.WordReader(path, None)
    assert reading.WordReader(path, config, "cpu").device.type == "cpu"
    assert "was run" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["mms_vit_t_ar_words", "../etc/passwd", "", None, 3])
def test_config_is_found_by_the_name_of_the_run(reading, tmp_path, name):
    path = tmp_path / "w.pth"
    run = f"{name}_20260101_123456" if isinstance(name, str) else name
    torch.save(dict(state_dict={}, meta=dict(experiment_name=run)), path)
    if name == "mms_vit_t_ar_words":
        cfg = load_config(None, path, RECOGNITION)
        assert cfg.filename == str(find_config(name))
    else:
        with pytest.raises(ValueError, match=r"the config of .*w\.pth is needed"):
            load_config(None, path, RECOGNITION)


def test_bad_weights_configs_and_devices(reading, tiny_recognizer, repository, tmp_path):
    config, weights = tiny_recognizer
    with pytest.raises(
        FileNotFoundError, match="no config 'nothing': give a file, or one"
    ) as caught:
        reading.WordReader(weights, "nothing")
    assert "swap_in/nrtr" in str(caught.value)
    assert "_swap_in," not in str(caught.value)
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        reading.WordReader(tmp_path / "none.pth", config)
    with pytest.raises(ValueError, match=r"describes no recognizer: its model is mms_ocr.MMS"):
        reading.WordReader(weights, repository / "configs" / "mms" / "pretrain_vit_t.py")
    segmentor = repository / "configs" / "segmentation" / "mms_vit_t_seg_rendered.py"
    with pytest.raises(ValueError, match=r"describes no recognizer: its model is mms_ocr.TextSeg"):
        reading.WordReader(weights, segmentor)
    with pytest.raises(ValueError, match="does not fit"):
        reading.WordReader(weights, "mms_vit_t_ar_words", "cpu")
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        reading.WordReader(weights, config, batch_size=0)
    with pytest.raises(ValueError, match="device"):
        reading.WordReader(weights, config, "abacus")
    with pytest.raises(ValueError, match="torch finds"):
        reading.WordReader(weights, config, "cuda:99")


def test_configs_are_found_by_name(repository):
    folder = repository / "configs" / "textrecog"
    expected = folder / "mms_vit_s_ar_words.py"
    for name in ("mms_vit_s_ar_words", "textrecog/mms_vit_s_ar_words.py", str(expected)):
        assert find_config(name) == expected
    assert find_config("common", "textrecog/benchmarks") == folder / "benchmarks" / "common.py"
