"""Checkpoints: read without running anything in them, and loaded strictly or not at all."""

import builtins
import os
import pickle

import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import get_state_dict, save_checkpoint
from tiny_models import ARCH, BACKBONE, SELF, tiny_encoder, tiny_mms
from tiny_models import same_weights as same

from mms_ocr.models import PretrainedModel, PretrainedTextViT, TextViT
from mms_ocr.models.weights import (
    find_encoder,
    load_model,
    load_strictly,
    read_checkpoint,
    read_state_dict,
)
from mms_ocr.registry import MODELS

ZIP, LEGACY = True, False


def saved(model, path):
    save_checkpoint({"state_dict": get_state_dict(model), "meta": {"iter": 3}}, str(path))
    return str(path)


def cloned(state_dict):
    return {key: value.clone() for key, value in state_dict.items()}


# Reading


@pytest.mark.parametrize("layout", [ZIP, LEGACY])
def test_state_dicts_are_read_with_and_without_a_checkpoint_around_them(tmp_path, layout):
    weights = {"a": torch.randn(3), "b": torch.ones(2, 2).half()}
    for name, content in (("bare", weights), ("whole", {"state_dict": weights, "meta": {}})):
        path = tmp_path / f"{name}.pth"
        torch.save(content, path, _use_new_zipfile_serialization=layout)
        read = read_state_dict(path)
        assert all(torch.equal(read[key], value) for key, value in weights.items())


def history():
    buffer = HistoryBuffer()
    for value in (1.0, 2.0):
        buffer.update(value)
    return buffer


@pytest.mark.parametrize("numpy_module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_log_history_of_every_numpy_is_read(tmp_path, numpy_module):
    path = tmp_path / "history.pth"
    content = {"state_dict": {"a": torch.ones(1)}, "message_hub": {"loss": history()}}
    torch.save(content, path, _use_new_zipfile_serialization=LEGACY)
    written = path.read_bytes()
    for spelled in (b"numpy.core.multiarray", b"numpy._core.multiarray"):
        written = written.replace(spelled, b"SPELLED")
    assert b"SPELLED" in written
    path.write_bytes(written.replace(b"SPELLED", numpy_module))
    read = read_checkpoint(path)["message_hub"]["loss"]
    assert read.data[0].tolist() == [1.0, 2.0]


class Carrying:
    """Calls something when it is unpickled."""

    def __init__(self, function, *arguments):
        self.content = function, arguments

    def __reduce__(self):
        return self.content


@pytest.mark.parametrize("layout", [ZIP, LEGACY])
@pytest.mark.parametrize(
    ("function", "named"),
    [
        (os.mkdir, "mkdir"),
        (builtins.open, "open"),
        (os.system, "system"),
        (exec, "exec"),
        (getattr, "getattr"),
    ],
)
def test_file_with_code_is_refused_and_not_run(tmp_path, layout, function, named):
    trap = tmp_path / "trap"
    arguments = {
        os.mkdir: (str(trap),),
        builtins.open: (str(trap), "w"),
        os.system: (f"touch {trap}",),
        exec: (f"open({str(trap)!r}, 'w')",),
        getattr: (HistoryBuffer, "__init__"),
    }[function]
    path = tmp_path / "model.pth"
    content = {"state_dict": {"a": torch.ones(1)}, "extra": Carrying(function, *arguments)}
    torch.save(content, path, _use_new_zipfile_serialization=layout)
    with pytest.raises(ValueError, match=f"was refused: it carries the object .*{named}") as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not trap.exists()


def test_downloaded_files_run_no_code(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    contents = {"good": tiny_encoder().state_dict(), "bad": {"a": Carrying(os.mkdir, "trap")}}

    def download(url, path, progress):
        torch.save(contents[url.rpartition("/")[2][:-4]], path)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    target = tiny_encoder()
    PretrainedModel("https://here/good.pth")(target)
    assert same(target, contents["good"])
    with pytest.raises(ValueError, match="was refused"):
        PretrainedModel("https://here/bad.pth")(target)


def test_allow_list_is_closed_after_reading(tmp_path):
    path = tmp_path / "history.pth"
    torch.save({"state_dict": {}, "log": history()}, path)
    read_checkpoint(path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


def damaged_files():
    yield "empty", b""
    yield "text", b"these are no weights\n"
    yield "braces", b"{}"
    yield "newline", b"\n"
    yield "zeros", bytes(300)
    yield "png", b"\x89PNG\r\n\x1a\n" + bytes(range(256))
    yield "pickle", pickle.dumps({"a": 1})
    generator = torch.Generator().manual_seed(0)
    for i in range(40):
        size = 20 + 10 * i
        noise = torch.randint(0, 256, (size,), generator=generator, dtype=torch.uint8)
        yield f"noise{i}", bytes(noise.tolist())


def test_damaged_files(tmp_path):
    path = tmp_path / "damaged.pth"
    for name, content in damaged_files():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"damaged\.pth") as caught:
            read_state_dict(path)
        assert "\n" not in str(caught.value), name


@pytest.mark.parametrize("layout", [ZIP, LEGACY])
def test_truncated_files(tmp_path, layout):
    path = tmp_path / "cut.pth"
    torch.save(
        {"state_dict": {"a": torch.randn(40, 40)}}, path, _use_new_zipfile_serialization=layout
    )
    whole = path.read_bytes()
    for part in range(0, 100, 4):
        path.write_bytes(whole[: len(whole) * part // 100])
        with pytest.raises(ValueError, match="cannot be read as a checkpoint: it is damaged"):
            read_state_dict(path)


@pytest.mark.parametrize("missing", ["absent.pth", "."])
def test_missing_file(tmp_path, missing):
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        read_checkpoint(tmp_path / missing)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(1)], "holds a list and no state dict"),
        ({}, "holds no weights"),
        ({"state_dict": {}}, "holds no weights"),
        ({"a": torch.ones(1), "epoch": 3}, r"values that are not tensors \(epoch\)"),
    ],
)
def test_files_without_weights(tmp_path, content, message):
    path = tmp_path / "other.pth"
    torch.save(content, path)
    with pytest.raises(ValueError, match=message):
        read_state_dict(path)


# Strict loading


def test_all_misfitting_keys_are_named():
    model = tiny_encoder()
    before = cloned(model.state_dict())
    weights = cloned(tiny_encoder().state_dict())
    del weights["cls_token"]
    weights["head.weight"] = torch.ones(2)
    weights["ln1.bias"] = torch.ones(7)
    with pytest.raises(ValueError, match=r"weights\.pth does not fit TextViT") as caught:
        load_strictly(model, weights, "weights.pth")
    message = str(caught.value)
    assert "1 missing (cls_token)" in message
    assert "1 unknown (head.weight)" in message
    assert "1 of another shape (ln1.bias (7,) instead of (24,))" in message
    assert "\n" not in message
    assert same(model, before)


def test_many_keys_are_counted():
    with pytest.raises(ValueError, match=r"30 missing \(.* and 24 more\)"):
        load_strictly(tiny_encoder(), {}, "weights.pth")


def test_positions_of_another_decoder_grid_do_not_fit():
    model, other = tiny_mms(neck=SELF), tiny_mms(neck=SELF, img_size=(16, 64))
    before = cloned(model.state_dict())
    with pytest.raises(ValueError, match=r"1 of another shape \(neck.decoder_pos_embed"):
        load_strictly(model, other.state_dict(), "weights.pth")
    assert same(model, before)


def test_positions_of_an_unknown_grid_change_nothing():
    class Holder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Linear(2, 2)  # loaded before the encoder's fault is found
            self.backbone = tiny_encoder()

    model = Holder()
    before = cloned(model.state_dict())
    weights = {key: torch.randn_like(value) for key, value in before.items()}
    weights["backbone.pos_embed"] = torch.randn(1, 40, 24)
    with pytest.raises(ValueError, match=r"weights\.pth does not fit Holder: .*checkpoint_grid"):
        load_strictly(model, weights, "weights.pth")
    assert same(model, before)


def test_a_whole_model(tmp_path):
    source, target = tiny_mms(), tiny_mms()
    load_model(target, saved(source, tmp_path / "mms.pth"))
    assert same(target, source.state_dict())
    wrapped = torch.nn.Module()
    wrapped.module = tiny_mms()
    load_model(wrapped, str(tmp_path / "mms.pth"))
    assert same(wrapped.module, source.state_dict())


def test_another_architecture(tmp_path):
    path = saved(tiny_mms(), tmp_path / "mms.pth")
    wide = TextViT(arch=dict(ARCH, embed_dims=36, num_layers=3), img_size=(16, 32))
    before = cloned(wide.state_dict())
    with pytest.raises(
        ValueError, match="does not fit TextViT: of 42 weights, 12 missing"
    ) as caught:
        PretrainedTextViT(path)(wide)
    assert path in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("; its encoder is 24 wide, and that of the config 36")
    assert same(wide, before)


# The encoder in a checkpoint


def test_no_encoder():
    with pytest.raises(ValueError, match=r"no encoder of a known family .*none of its 1 keys"):
        find_encoder({"neck.weight": torch.ones(1)}, "weights.pth")


def test_missing_file_raises_in_init_weights(tmp_path):
    init_cfg = dict(type="mms_ocr.PretrainedTextViT", checkpoint=str(tmp_path / "no.pth"))
    with pytest.raises(FileNotFoundError, match=r"no\.pth"):
        MODELS.build(dict(BACKBONE, init_cfg=init_cfg)).init_weights()
