"""Readers in folders, as ``mms-ocr adapt`` writes them."""

import shutil

import pytest

pytest.importorskip("mmocr")

import cv2
from mmengine.config import Config

from mms_ocr.apis import WordReader, WordSegmenter, tasks
from mms_ocr.apis.tasks import RECOGNITION, SEGMENTATION, choose_weights, runnable_weights
from mms_ocr.cli.main import main
from mms_ocr.models.weights import write_checkpoint
from mms_ocr.registry import MODELS
from mms_ocr.rendering import FontCollection, RenderSettings, TextSource, WordRenderer
from mms_ocr.utils.bundled import bundled_onnx
from mms_ocr.utils.dictionaries import read_dictionary

CONFIG = """
_base_ = "{root}/configs/textrecog/mms_vit_n_ctc_words.py"
model = dict(decoder=dict(dictionary=dict(dict_file="{{{{ fileDirname }}}}/characters.txt")))
"""


@pytest.fixture
def folder(tmp_path, repository):
    """The bundled reader with a further character."""
    folder = tmp_path / "my_reader"
    folder.mkdir()
    base = Config.fromfile(repository / "configs/textrecog/mms_vit_n_ctc_words.py")
    known = read_dictionary(base.model.decoder.dictionary.dict_file)
    (folder / "characters.txt").write_text("\n".join([*known, "é"]), encoding="utf-8")
    (folder / "reader.py").write_text(CONFIG.format(root=repository.as_posix()))
    model = Config.fromfile(folder / "reader.py").model
    model.init_cfg = dict(
        type="mms_ocr.PretrainedRecognizer",
        checkpoint="mms_ocr://mms_vit_n_ctc",
        new_characters=True,
    )
    model = MODELS.build(model)
    model.init_weights()
    path = folder / "reader.safetensors"
    write_checkpoint(path, model.state_dict(), {"experiment_name": "reader"})
    shutil.copy(bundled_onnx("mms_vit_n_ctc"), folder / "reader.onnx")
    return folder


@pytest.fixture
def without_torch(monkeypatch):
    monkeypatch.setattr(tasks, "_is_installed", lambda module: False)


def test_folder_is_read_with_its_config(folder, capsys, tmp_path):
    reader = WordReader(folder, device="cpu")
    assert reader.model.decoder.dictionary.dict[-3:] == ["é", "<PAD>", "<UKN>"]
    renderer = WordRenderer(FontCollection(), TextSource(), RenderSettings.at(0.3), seed=3)
    images = [renderer.render(index).image for index in range(4)]
    expected = [word.text for word in WordReader("mms_vit_n_ctc.onnx")(images)]
    assert [word.text for word in reader(images)] == expected
    path = tmp_path / "word.png"
    cv2.imwrite(str(path), images[0])
    assert main(["read", str(path), "--weights", f"{folder}/"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split("\t")[0] == expected[0]


def test_checkpoint_or_onnx(folder, monkeypatch):
    checkpoint, onnx = str(folder / "reader.safetensors"), str(folder / "reader.onnx")
    assert choose_weights(folder, RECOGNITION) == checkpoint
    assert runnable_weights(folder, RECOGNITION) == checkpoint
    (folder / "adapt.json").touch()
    monkeypatch.setattr(tasks, "_is_installed", lambda module: module != "mmocr")
    assert runnable_weights(folder, RECOGNITION) == onnx
    assert runnable_weights(folder, SEGMENTATION) == checkpoint
    (folder / "reader.onnx").unlink()
    with pytest.raises(
        ImportError, match=r"reader\.safetensors is a checkpoint, which needs mmocr"
    ):
        runnable_weights(folder, RECOGNITION)


def test_folder_with_the_model_in_onnx_alone(folder, without_torch):
    for name in ("reader.safetensors", "reader.py", "characters.txt"):
        (folder / name).unlink()
    assert runnable_weights(folder, RECOGNITION) == str(folder / "reader.onnx")
    with pytest.raises(FileNotFoundError, match=r"no reader\.safetensors and no reader\.py"):
        choose_weights(folder, RECOGNITION)
    with pytest.raises(ValueError, match="is a recognizer, and a segmentor is needed"):
        WordSegmenter(folder)


@pytest.mark.parametrize("name", ["reader.safetensors", "reader.py"])
def test_what_is_missing_is_named(folder, name, capsys):
    (folder / name).unlink()
    (folder / "reader.onnx").unlink()
    with pytest.raises(FileNotFoundError, match=f"my_reader has no {name}: give a checkpoint"):
        WordReader(folder)
    (folder / "adapt.json").touch()
    shutil.copy(bundled_onnx("mms_vit_n_ctc"), folder / "reader.onnx")
    if name == "reader.safetensors":  # written last
        with pytest.raises(FileNotFoundError, match=f"no {name}: its adaptation is not finished"):
            WordReader(folder)
    assert main(["export", str(folder), "--out", "out.onnx"]) == 2
    assert f"my_reader has no {name}: its adaptation" in capsys.readouterr().err


def test_folder_of_another_task(folder):
    with pytest.raises(ValueError, match=r"reader\.py describes no segmentor"):
        WordSegmenter(folder, device="cpu")
