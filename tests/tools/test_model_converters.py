"""The commands that convert and publish weights."""

import os

import pytest
import torch
from mmengine.config import Config

import mms_ocr  # noqa: F401
from mms_ocr.models import PretrainedTextViT, TextViT
from mms_ocr.models.weights import read_checkpoint, read_state_dict
from mms_ocr.registry import MODELS

ARCH = dict(embed_dims=24, num_layers=2, num_heads=3, feedforward_channels=48)
CONVERT, PUBLISH = "convert_weights.py", "publish.py"


@pytest.fixture
def run(tool, capsys):
    """Runs a script of tools/model_converters; gives its exit status and what it wrote."""

    def command(script, *arguments):
        module = tool(f"model_converters/{script}")
        status = module.main([str(argument) for argument in arguments])
        written = capsys.readouterr()
        return status, written.out + written.err.rstrip("\n").rpartition("\n")[2]

    return command


def encoder(img_size=(16, 64)):
    model = TextViT(arch=ARCH, img_size=img_size)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name != "pos_embed":
                parameter.copy_(torch.randn_like(parameter))
    return model.eval()


@pytest.fixture
def source(tmp_path):
    """A checkpoint of a run with an encoder and a neck."""
    model = torch.nn.ModuleDict({"backbone": encoder(), "neck": torch.nn.Linear(2, 3)})
    path = tmp_path / "iter_5.pth"
    content = dict(state_dict=model.state_dict(), optimizer=dict(state={}), meta={})
    content["meta"] = dict(cfg="x = 1", experiment_name="tiny")
    torch.save(content, path)
    return path


def same(path, weights):
    read = read_state_dict(path)
    assert read.keys() == weights.keys()
    return all(torch.equal(read[key], weights[key]) for key in weights)


SUFFIXES = pytest.mark.parametrize("suffix", ["pth", "safetensors"])


@SUFFIXES
def test_round_trip(run, source, tmp_path, suffix):
    weights = read_state_dict(source)
    theirs, ours = tmp_path / "new" / f"timm.{suffix}", tmp_path / f"ours.{suffix}"
    status, output = run(CONVERT, source, theirs, "--to", "timm")
    assert status == 0
    assert "family mms: 32 keys" in output
    assert "not of the encoder: neck (2)" in output
    assert "blocks.1.mlp.fc2.bias" in read_state_dict(theirs)
    status, output = run(CONVERT, theirs, ours, "--grid", "4", "16")
    assert status == 0
    assert "family timm: 30 keys, those of the encoder at the top" in output
    assert "fixed positions of 4×16; the file does not store the grid of the patches" in output
    encoder_weights = {
        key.removeprefix("backbone."): value
        for key, value in weights.items()
        if key.startswith("backbone.")
    }
    assert same(ours, encoder_weights)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["iter_5.pth", "new", ours.name]
    # The given grid is in the file.
    model = encoder((16, 128))
    PretrainedTextViT(str(ours))(model)
    assert "the patches had a grid of 4×16" in run(CONVERT, ours, "--check")[1]


def test_checking_writes_nothing(run, source, tmp_path):
    status, output = run(CONVERT, source, "--check")
    assert status == 0
    assert "encoder: 24 wide, 2 layers, 4×4 patches, 30 weights" in output
    assert (
        "positions: 64 patches; fixed positions of 4×16; the patches had a grid of 4×16" in output
    )
    assert [path.name for path in tmp_path.iterdir()] == ["iter_5.pth"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{source}"], "give either a file to write or --check"),
        (["{source}", "{target}", "--check"], "give either a file to write or --check"),
        (["{source}", "{source}"], "is the input"),
        (["absent.pth", "--check"], "no checkpoint absent.pth"),
        (["{source}", "--check", "--family", "timm"], "family='timm' was asked for"),
        (["{source}", "{target}", "--part", "recognizer"], "and no recognizer"),
        (["{source}", "{target}", "--part", "recognizer", "--to", "timm"], "has no recognizers"),
        (["{source}", "{target}", "--grid", "4", "15"], "has 60 patches, and the file positions"),
        (["{source}", "{target}", "--grid", "8", "8"], "the file stores 4 16"),
    ],
)
def test_bad_calls_give_one_line_and_no_file(run, source, tmp_path, arguments, message):
    target = tmp_path / "target.pth"
    given = [argument.format(source=source, target=target) for argument in arguments]
    status, output = run(CONVERT, *given)
    assert status == 2
    assert output.splitlines()[-1].startswith("convert_weights.py: ")
    assert message in output.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["iter_5.pth"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda weights: weights.pop("backbone.layers.1.ln2.bias"),
            "1 missing (layers.1.ln2.bias)",
        ),
        (lambda weights: weights.pop("backbone.pos_embed"), "no pos_embed among its 29 weights"),
        (
            lambda weights: weights.update({"backbone.ln1.bias": torch.ones(5)}),
            "1 of another shape (ln1.bias (5,) instead of (24,))",
        ),
    ],
)
def test_an_encoder_that_is_not_whole_is_not_converted(run, source, tmp_path, change, message):
    content = torch.load(source, weights_only=True)
    change(content["state_dict"])
    torch.save(content, source)
    status, output = run(CONVERT, source, tmp_path / "target.pth")
    assert status == 2
    assert message in output
    assert not (tmp_path / "target.pth").exists()


def test_a_recognizer_of_maerec(run, tmp_path, repository):
    pytest.importorskip("mmocr")
    config = Config.fromfile(repository / "configs/textrecog/swap_in/maerec_s.py").model
    config.backbone.update(arch=ARCH, img_size=(32, 128))
    config.decoder.update(d_model=24, d_embedding=24, d_k=3, d_v=3, d_inner=48, n_layers=1)
    model = MODELS.build(config)
    with torch.no_grad():  # no two weights alike, so that none can take the place of another
        for name, parameter in model.named_parameters():
            if not name.endswith("pos_embed"):
                parameter.copy_(torch.randn_like(parameter))
    theirs = {key: value for key, value in model.state_dict().items() if key.startswith("decoder.")}
    run_source, timm = tmp_path / "encoder.pth", tmp_path / "timm.pth"
    torch.save(model.backbone.state_dict(), run_source)
    run(CONVERT, run_source, timm, "--to", "timm")
    theirs.update({f"backbone.{key}": value for key, value in read_state_dict(timm).items()})
    source, target = tmp_path / "maerec.pth", tmp_path / "ours.pth"
    torch.save({"state_dict": theirs, "message_hub": {}}, source)
    status, output = run(CONVERT, source, target, "--part", "recognizer")
    assert status == 0
    assert "family maerec" in output
    read, expected = read_state_dict(target), model.state_dict()
    assert read.keys() == expected.keys()
    assert all(torch.equal(read[key], expected[key]) for key in expected)
    MODELS.build(config).load_state_dict(read)


@SUFFIXES
def test_publishing(run, source, tmp_path, suffix):
    whole, half = tmp_path / f"whole.{suffix}", tmp_path / f"half.{suffix}"
    status, output = run(PUBLISH, source, whole)
    assert status == 0
    assert "wrote 32 weights" in output
    assert "left out meta, optimizer" in output
    assert "sha256" in output
    assert same(whole, read_state_dict(source))
    assert read_checkpoint(whole)["meta"] == {"part": "all", "experiment_name": "tiny"}
    assert read_checkpoint(whole).keys() == {"state_dict", "meta"}
    status, output = run(PUBLISH, source, half, "--half", "--part", "encoder")
    assert status == 0
    assert "left out meta, optimizer, 2 weights that are not of the encoder" in output
    assert half.stat().st_size < 0.7 * whole.stat().st_size
    model, expected = encoder(), read_state_dict(source)
    PretrainedTextViT(str(half))(model)
    for key, value in model.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, expected[f"backbone.{key}"].half().float())
    # The positions are resized from the grid in the file.
    PretrainedTextViT(str(half))(encoder((16, 128)))


def test_auxiliary_head_is_not_published(run, source, tmp_path):
    content = torch.load(source, weights_only=True)
    expected = set(content["state_dict"])
    content["state_dict"]["decoder.auxiliary.classifier.bias"] = torch.zeros(3)
    torch.save(content, source)
    status, output = run(PUBLISH, source, tmp_path / "whole.pth")
    assert status == 0
    assert "1 weights of a head that only helps to train" in output
    assert set(read_state_dict(tmp_path / "whole.pth")) == expected


def test_weights_that_fp16_cannot_hold(run, source, tmp_path):
    content = torch.load(source, weights_only=True)
    content["state_dict"]["neck.bias"] = torch.full((3,), 1e6)
    torch.save(content, source)
    status, output = run(PUBLISH, source, tmp_path / "half.pth", "--half")
    assert status == 2
    assert "neck.bias has values too large for fp16" in output
    assert [path.name for path in tmp_path.iterdir()] == ["iter_5.pth"]


def test_an_interrupted_write_leaves_the_old_file(run, source, tmp_path, monkeypatch):
    target = tmp_path / "target.pth"
    target.write_bytes(b"old")

    def fail(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", fail)
    status, output = run(PUBLISH, source, target)
    assert (status, output.splitlines()[-1]) == (2, "publish.py: no space left on device")
    assert target.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["iter_5.pth", "target.pth"]


@pytest.mark.parametrize("program", [CONVERT, PUBLISH])
@pytest.mark.parametrize("kind", [os.link, os.symlink])
def test_outputs_never_replace_the_checkpoint(run, source, tmp_path, program, kind):
    before = source.read_bytes()
    kind(source, tmp_path / "other.pth")
    status, output = run(program, source, tmp_path / "other.pth")
    assert status == 2
    assert "is the input" in output.splitlines()[-1]
    assert source.read_bytes() == (tmp_path / "other.pth").read_bytes() == before
