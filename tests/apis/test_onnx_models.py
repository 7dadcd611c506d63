"""Models in ONNX, the bundled ones: against their checkpoints, and without torch."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap

import cv2
import numpy as np
import pytest

from mms_ocr.apis import WordReader, WordSegmenter, WordUpscaler, zoo
from mms_ocr.cli.main import main
from mms_ocr.rendering import FontCollection, RenderSettings, TextSource, WordRenderer
from mms_ocr.utils import bundled

onnxruntime = pytest.importorskip("onnxruntime")

PAIRS = {
    "mms_vit_n_ar": WordReader,
    "mms_vit_n_ctc": WordReader,
    "mms_vit_n_seg": WordSegmenter,
    "mms_vit_n_sr": WordUpscaler,
}
# Runs a command of mms-ocr where the packages of training cannot be imported.
WITHOUT_TORCH = """
    import sys

    class Refusing:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in {"torch", "mmengine", "mmcv", "mmocr", "mmpretrain"}:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Refusing())
    from mms_ocr.cli.main import main

    status = main(sys.argv[1:])
    slow = {"matplotlib", "skimage", "imagehash", "scipy"} & set(sys.modules)
    sys.exit(f"imported {slow}" if slow else status)
"""


@pytest.fixture(scope="module")
def images():
    """Rendered words of several sizes, one of them large enough to be shrunk with care."""
    renderer = WordRenderer(FontCollection(), TextSource(), RenderSettings.at(0.3), seed=3)
    words = [renderer.render(index).image for index in range(5)]
    return [*words, cv2.resize(words[0], (700, 180)), cv2.resize(words[1], (40, 12))]


@pytest.mark.parametrize("name", PAIRS)
def test_results_are_those_of_the_checkpoint(name, images):
    if PAIRS[name] is WordReader:
        pytest.importorskip("mmocr")
    in_onnx = PAIRS[name](f"{name}.onnx", batch_size=3)(images)
    in_torch = PAIRS[name](name, device="cpu")(images)
    assert len(in_onnx) == len(images)
    for ours, theirs in zip(in_onnx, in_torch, strict=True):
        if PAIRS[name] is WordReader:
            assert (ours.name, ours.text) == (theirs.name, theirs.text)
            assert ours.confidence == pytest.approx(theirs.confidence, abs=1e-4)
        elif name == "mms_vit_n_seg":
            assert ours.threshold == theirs.threshold
            assert ours.probability.dtype == np.float32
            np.testing.assert_allclose(ours.probability, theirs.probability, atol=2e-5)
            np.testing.assert_array_equal(ours.mask, theirs.mask)
        else:
            assert ours.shrunk == theirs.shrunk
            difference = np.abs(ours.network_image.astype(int) - theirs.network_image)
            assert difference.max() <= 1
            assert difference.sum() <= 2  # levels near the middle between two


def test_threads_change_neither_words_nor_their_order(images, monkeypatch):
    reader = WordReader("mms_vit_n_ctc.onnx")
    runs = []
    compute = type(reader.backend)._compute
    monkeypatch.setattr(
        type(reader.backend),
        "_compute",
        lambda model, part: runs.append(len(part)) or compute(model, part),
    )
    expected = reader(images)
    assert runs == [4, 3]
    for threads, sizes in (("2", [3, 4]), ("3", [1, 3, 3]), ("9", [1] * 7)):
        runs.clear()
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        for ours, theirs in zip(reader(images), expected, strict=True):
            assert (ours.name, ours.text) == (theirs.name, theirs.text)
            assert ours.confidence == pytest.approx(theirs.confidence, abs=1e-5)
        assert sorted(runs) == sizes


def test_models_are_made_of_the_bundled_weights():
    entries = zoo.read_zoo()
    for name in PAIRS:
        session = onnxruntime.InferenceSession(str(bundled.bundled_onnx(name)))
        meta = session.get_modelmeta()
        facts = json.loads(meta.custom_metadata_map["mms_ocr"])
        assert meta.producer_name == "mms_ocr"
        assert facts["source_sha256"] == entries[name]["Metadata"]["SHA256"]
        assert (facts["weights"], facts["task"]) == (name, zoo.task_of(entries[name]))


def test_commands_run_without_torch(tmp_path, word_images):
    paths = word_images(2)
    broken = tmp_path / "images" / "broken.png"
    broken.write_bytes(b"no image")
    folder = str(tmp_path / "images")

    def run(*arguments):
        command = [sys.executable, "-c", textwrap.dedent(WITHOUT_TORCH), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    result = run("read", folder, "--json")
    expected = WordReader("mms_vit_n_ar.onnx")(paths)
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(row["image"], row["text"], row["confidence"]) for row in rows] == [
        (word.name, word.text, word.confidence) for word in expected
    ]
    assert result.returncode == 1
    assert "broken.png" in result.stderr.splitlines()[0]
    assert "1 of 3 images could not be used" in result.stderr.splitlines()[-1]
    result = run("segment", *paths, "--out", str(tmp_path / "out"))
    assert (result.returncode, result.stderr) == (0, "")
    mask = cv2.imread(str(tmp_path / "out" / "0_mask.png"), cv2.IMREAD_GRAYSCALE)
    (word,) = WordSegmenter("mms_vit_n_seg.onnx")(paths[:1])
    np.testing.assert_array_equal(mask > 0, word.mask)
    result = run("read", *paths, "--weights", "reader.pth")
    assert result.returncode == 2
    assert "reader.pth" in result.stderr
    assert "needs torch" in result.stderr


def test_the_example_for_other_programs_reads_the_word(
    repository, tmp_path, images, monkeypatch, capsys
):
    """The code of the page, which needs NumPy, OpenCV and onnxruntime alone."""
    page = (repository / "docs" / "deploy.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(import json.*?)```", page, re.S)
    assert "mms_ocr." not in code
    monkeypatch.chdir(tmp_path)
    shutil.copy(bundled.bundled_onnx("mms_vit_n_ctc"), "reader.onnx")
    for image in images[:3]:
        word = cv2.resize(image, (128, 32), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite("word.png", word)
        exec(code, {})
        assert capsys.readouterr().out == f"{WordReader('reader.onnx')('word.png').text}\n"


@pytest.mark.parametrize("name", ["reader.ONNX", "ä b.onnx", os.fsdecode(b"caf\xe9.onnx")])
def test_names_of_models(name, tmp_path, word_images):
    (path,) = word_images(1)
    shutil.copy(bundled.bundled_onnx("mms_vit_n_ctc"), tmp_path / name)
    assert WordReader(tmp_path / name)(path) == WordReader("mms_vit_n_ctc.onnx")(path)


def test_bad_files_give_one_line(tmp_path, word_images, capsys, monkeypatch):
    onnx = pytest.importorskip("onnx")
    (path,) = word_images(1)
    model = onnx.load(bundled.bundled_onnx("mms_vit_n_ctc"))
    facts = json.loads(model.metadata_props[0].value)

    def save(name, **changes):
        props = {"mms_ocr": json.dumps({**facts, **changes})} if changes else {}
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, props)
        onnx.save(model, str(tmp_path / name))

    save("other.onnx")
    save("newer.onnx", format=7)
    save("damaged.onnx", input={})
    save("sizes.onnx", input=dict(size=[32, 128, 3], resize="bicubic"))
    data = (tmp_path / "other.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.onnx").write_text("no model")
    for name, *expected in (
        ("other.onnx", "a model of mms_ocr, without", "mms-ocr export"),
        ("newer.onnx", "format 7", "pip install --upgrade mms_ocr"),
        ("damaged.onnx", "damaged metadata"),
        ("sizes.onnx", "sizes.onnx: damaged metadata"),
        ("cut.onnx", "cut.onnx is no model"),
        ("text.onnx", "text.onnx is no model"),
        ("gone.onnx", "gone.onnx"),
    ):
        assert main(["read", path, "--weights", str(tmp_path / name)]) == 2
        errors = capsys.readouterr().err.splitlines()
        assert len(errors) == 1
        assert all(part in errors[0] for part in expected), errors
    for arguments, expected in (
        (["read", path, "--weights", "mms_vit_n_seg.onnx"], "is a segmentor, and a recognizer"),
        (["read", path, "--weights", "mms_vit_n_ctc.onnx", "--config", "a.py"], "no config"),
        (["read", path, "--weights", "mms_vit_n_ctc.onnx", "--cfg-options", "a.b=1"], "no options"),
        (["read", path, "--weights", "mms_vit_n_ctc.onnx", "--device", "mps"], "device 'mps'"),
        (["read", "mms_vit_n_ctc.onnx"], "--weights mms_vit_n_ctc.onnx"),
        (["reconstruct", path, "--weights", "a.onnx"], "is a model in ONNX"),
    ):
        assert main(arguments) == 2
        assert expected in capsys.readouterr().err.splitlines()[-1]
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert main(["read", path, "--weights", "mms_vit_n_ctc.onnx"]) == 2
    assert "pip install 'mms_ocr[onnx]'" in capsys.readouterr().err
