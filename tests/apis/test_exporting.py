"""Export to ONNX: the files compute what the models compute, and what cannot be exported."""

import json
import re
import sys

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from safetensors.torch import load_file

from mms_ocr.apis import WordReader, WordSegmenter, WordUpscaler, export
from mms_ocr.apis.bundled_configs import find_config
from mms_ocr.apis.onnx_graphs import example_images
from mms_ocr.cli.main import main
from mms_ocr.registry import MODELS
from mms_ocr.utils import bundled

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def facts_of(path):
    meta = onnxruntime.InferenceSession(str(path)).get_modelmeta()
    return json.loads(meta.custom_metadata_map["mms_ocr"])


@pytest.fixture(scope="module")
def recognizer(tiny_recognizer, tmp_path_factory):
    """Config and weights of the tiny recognizer, some of whose words end early."""
    checkpoint = torch.load(tiny_recognizer[1])
    bias = checkpoint["state_dict"]["decoder.classifier.bias"]
    bias[94] = 12.0  # of the token after the 94 characters, which ends words
    weights = str(tmp_path_factory.mktemp("recognizer") / "tiny.pth")
    torch.save(checkpoint, weights)
    return tiny_recognizer[0], weights


@pytest.fixture(scope="module")
def exported_loop(recognizer, tmp_path_factory):
    """The recognizer with an autoregressive decoder in ONNX."""
    out = tmp_path_factory.mktemp("loop") / "reader.onnx"
    export(recognizer[1], out, recognizer[0])
    return str(out)


def test_autoregressive_words_and_confidences(recognizer, exported_loop, word_images):
    """Words of one and of many characters, and words that never end, in batches of 1 and 33."""
    paths = word_images(33)
    reader = WordReader(*recognizer[::-1], device="cpu")
    expected = reader(paths)
    lengths = {len(word.text) for word in expected}
    limit = reader.model.decoder.max_seq_len
    assert {0, 1, limit} <= lengths, "no word is cut, or none ends early"
    for batch_size in (1, 33):
        words = WordReader(exported_loop, batch_size=batch_size)(paths)
        assert [word.text for word in words] == [word.text for word in expected]
        for ours, theirs in zip(words, expected, strict=True):
            assert ours.confidence == pytest.approx(theirs.confidence, abs=1e-4)
            assert ours.char_confidences == pytest.approx(theirs.char_confidences, abs=1e-4)


def test_logits_are_those_of_the_model(recognizer, exported_loop, word_images):
    reader = WordReader(*recognizer[::-1], device="cpu")
    images = np.stack([cv2.resize(cv2.imread(path), (128, 32)) for path in word_images(3)])
    (logits,) = onnxruntime.InferenceSession(exported_loop).run(None, {"images": images})
    batch = [torch.from_numpy(image).permute(2, 0, 1) for image in images]
    with torch.inference_mode():
        data = reader.model.data_preprocessor(dict(inputs=batch, data_samples=None))
        decoder, feature_map = reader.model.decoder, reader.model.extract_feat(data["inputs"])
        probabilities = decoder.forward_test(feature_map).numpy()
    ends = probabilities.argmax(axis=-1) == decoder.dictionary.end_idx
    for row, expected, ended in zip(logits, probabilities, ends, strict=True):
        length = min(int(ended.argmax()) + 1 if ended.any() else len(expected), len(row))
        own = torch.from_numpy(row[:length]).softmax(dim=-1).numpy()
        np.testing.assert_allclose(own, expected[:length], atol=1e-4)


def test_metadata_says_how_to_use_the_model(recognizer, exported_loop):
    facts = facts_of(exported_loop)
    dictionary = WordReader(*recognizer[::-1], device="cpu").model.decoder.dictionary
    assert (facts["format"], facts["task"], facts["precision"]) == (1, "textrecog", "float32")
    assert facts["output"]["characters"] == dictionary.dict
    assert facts["output"]["end"] == dictionary.end_idx
    assert facts["input"]["size"] == [32, 128]
    assert (facts["input"]["channels"], facts["input"]["resize"]) == ("BGR", "bicubic")
    model = onnx.load(exported_loop)
    assert model.opset_import[0].version == facts["opset"]
    data = model.SerializeToString()
    assert b".py" not in data, "lines of source files"


def test_half_precision_is_compared_with_the_weights_of_the_checkpoint(tmp_path, monkeypatch):
    """Logits are larger by a share that rounding to half precision removes from the weights."""
    pytest.importorskip("mmocr")
    exported = onnx.load(bundled.bundled_onnx("mms_vit_n_ctc"))
    monkeypatch.setattr("mms_ocr.apis.onnx_graphs.CTCGraph.to_onnx", lambda *_: exported)
    state = load_file(bundled.bundled_file("mms_vit_n_ctc"))
    for key in ("decoder.classifier.weight", "decoder.classifier.bias"):
        state[key] = state[key].float() * (1 + 2e-4)
    torch.save(dict(state_dict=state), tmp_path / "reader.pth")
    result = export(tmp_path / "reader.pth", tmp_path / "half.onnx", half=True)
    images = example_images(5, (32, 128)).numpy()
    (logits,) = onnxruntime.InferenceSession(result.path).run(None, {"images": images})
    assert result.difference == pytest.approx(2e-4 * np.abs(logits).max(), rel=0.05)


@pytest.mark.slow
def test_int8_reads_about_the_same(tmp_path, word_images):
    out = tmp_path / "int8.onnx"
    pytest.importorskip("mmocr")
    result = export("mms_vit_n_ctc", out, quantize=True)
    assert result.size == out.stat().st_size < 2_000_000
    assert 0 < result.difference < 2
    session = onnxruntime.InferenceSession(str(out))
    images = np.stack([cv2.resize(cv2.imread(path), (128, 32)) for path in word_images(4)])
    ours = session.run(None, {"images": images})[0]
    full = WordReader("mms_vit_n_ctc.onnx").backend.session
    theirs = full.run(None, {"images": images})[0]
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.99
    assert facts_of(out)["precision"] == "int8 weights"


def test_bad_requests_leave_no_file(recognizer, tmp_path, capsys, monkeypatch):
    config, weights = recognizer
    out = tmp_path / "model.onnx"
    swapped = tmp_path / "swapped.py"
    swapped.write_text(
        f"_base_ = {config!r}\n"
        "model = dict(decoder=dict(type='mmocr.NRTRDecoder', _delete_=True))\n"
    )
    large = str(tmp_path / "large.pth")
    checkpoint = torch.load(weights)
    checkpoint["state_dict"]["decoder.classifier.bias"][0] = 1e6
    torch.save(checkpoint, large)
    broken = tmp_path / "broken.py"
    broken.write_text("model = dict(\n")
    for arguments, message in (
        ([weights, "--out", str(out), "--half", "--quantize"], "half and quantize"),
        ([weights, "--out", str(tmp_path / "model.pth")], ".onnx"),
        ([weights, "--out", str(tmp_path / "none" / "model.onnx")], "no such folder"),
        ([str(tmp_path / "gone.pth"), "--out", str(out)], "gone.pth"),
        (["mms_vit_n_ctc.onnx", "--out", str(out)], "is a model in ONNX; give"),
        ([large, "--out", str(out), "--config", config, "--half"], "beyond 65,504"),
        (["a.ONNX", "--out", str(out)], "is a model in ONNX; give"),
        ([weights, "--out", str(out), "--config", "none"], "no config 'none'"),
        ([weights, "--out", str(out), "--config", str(broken)], "'(' was never closed"),
        ([str(swapped), "--out", str(out)], "cannot be read as a checkpoint"),
        ([weights, "--out", str(out), "--config", str(swapped)], "TextViT, NRTRDecoder cannot be"),
    ):
        assert main(["export", *arguments]) == 2
        assert message in capsys.readouterr().err.splitlines()[-1]
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert main(["export", weights, "--out", str(out), "--config", config]) == 2
    assert "pip install 'mms_ocr[export]'" in capsys.readouterr().err.splitlines()[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "broken.py",
        "large.pth",
        "swapped.py",
    ]


def test_a_file_that_computes_something_else_is_not_kept(tmp_path, monkeypatch, capsys):
    """As if the exporter had a fault; both values are reported."""
    pytest.importorskip("mmocr")
    exported = onnx.load(bundled.bundled_onnx("mms_vit_n_ctc"))
    (bias,) = (each for each in exported.graph.initializer if "classifier.bias" in each.name)
    values = onnx.numpy_helper.to_array(bias)
    bias.CopyFrom(onnx.numpy_helper.from_array(values + values.dtype.type(0.5), bias.name))
    monkeypatch.setattr("mms_ocr.apis.onnx_graphs.CTCGraph.to_onnx", lambda *_: exported)
    out = tmp_path / "model.onnx"
    out.write_bytes(b"before")
    assert main(["export", "mms_vit_n_ctc", "--out", str(out)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    ours, theirs = map(float, re.search(r"gives (\S+) where the model gives (\S+)", error).groups())
    assert ours - theirs == pytest.approx(0.5, abs=1e-3)
    assert out.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.slow
@pytest.mark.parametrize("features", ["map", "tokens"])
def test_encoders(tmp_path, features):
    out = tmp_path / "encoder.onnx"
    assert export("mms_vit_n", out, features=features).difference < 1e-4
    facts = facts_of(out)
    assert (facts["task"], facts["output"]["features"]) == ("encoder", features)
    session = onnxruntime.InferenceSession(str(out))
    images = np.zeros((2, 32, 128, 3), np.uint8)
    shape = session.run(None, {"images": images})[0].shape
    assert shape == ((2, 128, 4, 32) if features == "map" else (2, 129, 128))


@pytest.mark.slow
def test_options_change_the_config(tmp_path):
    out = tmp_path / "segmentor.onnx"
    export("mms_vit_n_seg", out, options={"model.threshold": 0.7})
    assert facts_of(out)["output"]["threshold"] == 0.7
    with pytest.raises(TypeError, match="no_such_setting"):
        export("mms_vit_n_seg", tmp_path / "other.onnx", options={"model.no_such_setting": 0.7})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("segmentation/mms_vit_t_seg_rendered", WordSegmenter),
        ("super_resolution/mms_vit_t_sr_words", WordUpscaler),
    ],
)
def test_pixel_models_of_other_sizes(name, kind, tmp_path, word_images):
    cfg = Config.fromfile(find_config(name))
    cfg.model.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope("mms_ocr"):
        model = MODELS.build(cfg.model)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    weights, out = str(tmp_path / "w.pth"), str(tmp_path / "model.onnx")
    torch.save({"state_dict": model.state_dict()}, weights)
    assert export(weights, out, name.rpartition("/")[2]).difference <= 1
    paths = word_images(3)
    for ours, theirs in zip(kind(out)(paths), kind(weights, name, device="cpu")(paths)):
        if kind is WordSegmenter:
            np.testing.assert_allclose(ours.probability, theirs.probability, atol=1e-4)
        else:
            assert np.abs(ours.network_image.astype(int) - theirs.network_image).max() <= 1
