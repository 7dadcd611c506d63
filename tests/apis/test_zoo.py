"""The bundled weights in use: by default, by name, and as ``mms-ocr zoo`` lists them."""

import json
import shutil

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mms_ocr.apis import zoo
from mms_ocr.apis.bundled_configs import find_config
from mms_ocr.apis.segmenting import WordSegmenter
from mms_ocr.apis.upscaling import WordUpscaler
from mms_ocr.cli import main as cli
from mms_ocr.models.weights import read_checkpoint, write_checkpoint
from mms_ocr.registry import MODELS
from mms_ocr.utils import bundled

CONFIGS = {
    "tiny_pretrain": "mms/pretrain_vit_n",
    "tiny_seg": "segmentation/mms_vit_n_seg_rendered",
    "tiny_sr": "super_resolution/mms_vit_n_sr_words",
}


def entry(name, config, part="all"):
    return {
        "Name": name,
        "Config": f"configs/{config}.py",
        "Metadata": {"Part": part, "Parameters": 1_234_567, "Training Data Terms": "research only"},
        "Results": [
            {"Dataset": "IIIT5K", "Metrics": {"word_acc_ignore_case_symbol": 0.8512, "exact": 0.7}},
            {"Dataset": "pairs", "Metrics": {"PSNR": 21.347}},
            {"Dataset": "SVT", "Metrics": {"word_acc_ignore_case_symbol": None}},
        ],
    }


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """A zoo of no weights: its folder."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    monkeypatch.setattr(bundled, "FOLDER", folder)
    monkeypatch.setattr(zoo, "metafile", lambda part: folder / f"{part}_metafile.yml")
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Weights of nano models that nobody trained."""
    folder = tmp_path_factory.mktemp("files")
    for name, config in CONFIGS.items():
        path = find_config(f"{config}.py")
        with torch.random.fork_rng(), DefaultScope.overwrite_default_scope("mms_ocr"):
            torch.manual_seed(0)
            model = MODELS.build(Config.fromfile(path).model)
            model.init_weights()
        for key, value in model.named_parameters():
            if key.startswith("decoder.pred"):
                torch.nn.init.normal_(value, std=0.1)
        meta = {"experiment_name": path.stem}
        write_checkpoint(folder / f"{name}.safetensors", model.state_dict(), meta, half=True)
    return folder


@pytest.fixture
def full(empty, files):
    """A zoo of weights, with an encoder before them that no task takes by default."""
    for name in CONFIGS:
        shutil.copy(files / f"{name}.safetensors", empty)
    entries = {"tiny": entry("tiny", "mms/pretrain_vit_n", "encoder")}
    entries |= {name: entry(name, config) for name, config in CONFIGS.items()}
    entries["later_seg"] = entry("later_seg", CONFIGS["tiny_seg"])
    shutil.copy(empty / "tiny_seg.safetensors", empty / "later_seg.safetensors")
    zoo.write_zoo(entries)
    return empty


@pytest.fixture
def run(capsys):
    def command(*arguments):
        capsys.readouterr()
        status = cli.main([str(argument) for argument in arguments])
        return status, capsys.readouterr()

    return command


def test_zoo_prints_a_table(full, run):
    status, written = run("zoo")
    lines = written.out.splitlines()
    assert status == 0
    names = ["tiny_pretrain", "tiny_seg", "later_seg", "tiny_sr"]  # by folder of their configs
    assert [line.split()[0] for line in lines] == ["name", *names]
    assert lines[2].split()[1:] == (
        "segmentation 1.23 M {:.1f} MB - IIIT5K 85.1%, pairs PSNR 21.35 research only".format(
            (full / "tiny_seg.safetensors").stat().st_size / 1e6
        ).split()
    )
    status, written = run("zoo", "--json")
    assert [each["Name"] for each in json.loads(written.out)] == names
    status, written = run("zoo", "tiny_sr")
    assert yaml.safe_load(written.out) == entry("tiny_sr", CONFIGS["tiny_sr"])
    status, written = run("zoo", "tiny_rs")
    assert status == 2
    assert "did you mean tiny_sr?" in written.err


@pytest.mark.parametrize("content", ["Models: [{Config: a}]", "Models: 3", "a: [", "text"])
def test_a_damaged_metafile(full, run, content):
    (full / "mms_metafile.yml").write_text(content)
    status, written = run("zoo")
    assert status == 2
    assert "metafile.yml is damaged" in written.err
    assert written.err.count("\n") == 1


def test_without_weights_commands_say_so(empty, run, word_images, tmp_path):
    assert run("zoo")[1].out == "this version bundles no weights\n"
    (image,) = word_images(1)
    commands = ["segment", "upscale", "reconstruct"]
    for command in commands:
        status, written = run(command, image, "--out", tmp_path / "out.png")
        assert status == 2
        assert "this version bundles no " in written.err.splitlines()[-1]
        assert "--weights FILE" in written.err.splitlines()[-1]
        assert not (tmp_path / "out.png").exists()


def test_weights_without_their_option(full, run, word_images):
    for command in ("read", "segment", "upscale", "reconstruct"):
        status, written = run(command, *word_images(1), "reader.pth", "--out", "out")
        assert status == 2
        assert "--weights reader.pth" in written.err


@pytest.mark.parametrize("kind", [WordSegmenter, WordUpscaler])
def test_first_weights_of_a_task_are_the_default(full, word_images, kind):
    name = "tiny_seg" if kind is WordSegmenter else "tiny_sr"
    weights = read_checkpoint(f"mms_ocr://{name}")["state_dict"]
    results = []
    for given in ((), (name,), (f"mms_ocr://{name}",), (str(full / f"{name}.safetensors"),)):
        model = kind(*given, device="cpu")
        assert {parameter.dtype for parameter in model.model.parameters()} == {torch.float32}
        own = model.model.state_dict()
        assert all(torch.equal(own[key].float(), value.float()) for key, value in weights.items())
        (word,) = model(word_images(1))
        results.append(word.probability if kind is WordSegmenter else word.network_image)
    assert all((result == results[0]).all() for result in results)
    with pytest.raises(ValueError, match="which is no"):
        kind("tiny_pretrain")


def test_reconstructions(full, run, word_images, tmp_path):
    status, written = run("reconstruct", *word_images(2), "--out", tmp_path / "sheet.png")
    assert status == 0
    assert written.out.startswith("2 images, mean masked error: ")
    # Targets have unit variance, so that an untrained decoder is off by at least about that.
    errors = written.out.partition("; ")[0].split(": ")[1].split(", ")
    assert all(float(error.split()[1]) > 0.9 for error in errors)
    first = (tmp_path / "sheet.png").read_bytes()
    options = ("--config", "pretrain_vit_n", "--weights", full / "tiny_pretrain.safetensors")
    status, _ = run("reconstruct", *word_images(2), "--out", tmp_path / "b.png", *options)
    assert status == 0
    assert len((tmp_path / "b.png").read_bytes()) > 0.5 * len(first)
    status, written = run("reconstruct", *word_images(1), "--weights", "tiny_seg")
    assert status == 2
    assert "no pretraining run" in written.err
    status, written = run("reconstruct", *word_images(1), "--out", word_images(1)[0])
    assert status == 2


def test_halved_weights_read_the_same(empty, tiny_recognizer, word_images, run):
    from mms_ocr.apis.reading import WordReader

    config, weights = tiny_recognizer
    write_checkpoint(empty / "half.safetensors", read_checkpoint(weights)["state_dict"], half=True)
    zoo.write_zoo({"half": entry("half", "textrecog/mms_vit_t_ar_words")})
    images = word_images(8)
    expected = [reading.text for reading in WordReader(weights, config, "cpu")(images)]
    assert len(set(expected)) > 4
    for given in (None, "half", "mms_ocr://half"):
        reader = WordReader(given, config, "cpu")
        assert [reading.text for reading in reader(images)] == expected
    status, written = run("read", *images, "--config", config, "--device", "cpu")
    assert status == 0
    assert [line.split("\t")[0] for line in written.out.splitlines()] == expected


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("word_acc_ignore_case_symbol", 0.75, "75.0%"),
        ("masked_error/mean", 0.5454, "masked_error 0.545"),
        ("PSNR", 25.4333, "PSNR 25.43"),
    ],
)
def test_scores_are_shares_or_numbers(metric, value, text):
    assert zoo.format_score(metric, value) == text
