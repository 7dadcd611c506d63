"""Checkpoints as safetensors: the same weights, as strictly, and one line for what is wrong."""

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_models import same_weights as equal
from tiny_models import tiny_encoder as encoder
from tiny_models import tiny_mms

from mms_ocr.models import PretrainedTextViT
from mms_ocr.models.weights import (
    load_model,
    read_checkpoint,
    read_state_dict,
    timm_names,
    write_checkpoint,
)
from mms_ocr.registry import MODELS


def test_a_file_holds_what_the_checkpoint_of_torch_holds(tmp_path):
    model, meta = tiny_mms(), {"experiment_name": "mine_20260101_120000", "iter": 3}
    weights = model.state_dict()
    files = [tmp_path / "mms.pth", tmp_path / "mms.safetensors"]
    for file in files:
        write_checkpoint(file, weights, meta)
    ours, theirs = map(read_checkpoint, files)
    assert ours["meta"] == theirs["meta"] == meta
    assert equal(ours["state_dict"], weights)
    assert equal(theirs["state_dict"], weights)
    assert ours["state_dict"]._metadata == theirs["state_dict"]._metadata == weights._metadata
    with safe_open(files[1], framework="pt") as file:
        assert set(file.keys()) == set(weights)


def test_format_is_recognized_by_content(tmp_path):
    weights = {"a": torch.randn(3)}
    write_checkpoint(tmp_path / "a.pth", weights)
    write_checkpoint(tmp_path / "b.safetensors", weights)
    (tmp_path / "a.pth").rename(tmp_path / "c.safetensors")
    (tmp_path / "b.safetensors").rename(tmp_path / "d.pth")
    for name in ("c.safetensors", "d.pth"):
        assert equal(read_state_dict(tmp_path / name), weights)


def test_views_and_shared_weights_are_stored_by_value(tmp_path):
    whole = torch.arange(12.0).view(3, 4)
    weights = {"whole": whole, "same": whole, "turned": whole.T, "part": whole[:, 1:3]}
    write_checkpoint(tmp_path / "w.safetensors", weights)
    assert equal(read_state_dict(tmp_path / "w.safetensors"), weights)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "float8_e4m3fn"])
def test_other_types_are_cast_to_those_of_the_model(tmp_path, dtype):
    source, target = encoder(), encoder()
    cast = {key: value.to(getattr(torch, dtype)) for key, value in source.state_dict().items()}
    save_file(cast, tmp_path / "w.safetensors")
    load_model(target, tmp_path / "w.safetensors")
    assert equal(target.state_dict(), {key: value.float() for key, value in cast.items()})


def test_other_safetensors_load_as_their_torch_checkpoints(tmp_path):
    source = encoder()
    source.pos_embed.data.normal_()  # trained ones, whose grid nothing shows
    theirs = timm_names(source.state_dict())
    theirs["head.weight"] = torch.ones(5, 24)
    torch.save(theirs, tmp_path / "vit.pth")
    save_file(theirs, tmp_path / "vit.safetensors", {"made by": "somebody"})
    loaded = []
    for name in ("vit.pth", "vit.safetensors"):
        target = encoder()
        PretrainedTextViT(str(tmp_path / name))(target)
        loaded.append(target.state_dict())
        with pytest.raises(ValueError, match=rf"{name} .family timm. does not fit .*checkpoint_gr"):
            PretrainedTextViT(str(tmp_path / name))(encoder((16, 64)))
    assert equal(loaded[0], loaded[1])
    assert equal(loaded[0], source.state_dict())


def test_wrappers_and_the_grid_of_the_positions(tmp_path):
    source, path = encoder(), tmp_path / "w.safetensors"
    wrapped = torch.nn.ModuleDict({"module": torch.nn.ModuleDict({"backbone": source})})
    write_checkpoint(path, wrapped.state_dict())
    target, expected = encoder((32, 16)), encoder((32, 16))
    PretrainedTextViT(str(path))(target)
    expected.load_state_dict(source.state_dict())
    assert equal(target.state_dict(), expected.state_dict())


def damaged(whole):
    yield "empty", b""
    yield "short", whole[:5]
    yield "header alone", whole[:60]
    yield "cut", whole[:-3]
    yield "longer", whole + b"xx"
    yield "no JSON", whole.replace(b'{"', b"{{", 1)
    yield "length", b"\xff" * 8 + whole[8:]
    yield "text", b"these are no {weights}"
    yield "type", whole.replace(b'"F32"', b'"X32"')
    yield "offsets", whole.replace(b"[0,12]", b"[0,99]")


def test_damaged_files(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.ones(3)}, path)
    for name, content in damaged(path.read_bytes()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"w\.safetensors cannot be read as a c") as caught:
            read_state_dict(path)
        assert "\n" not in str(caught.value), name
    path.write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    with pytest.raises(ValueError, match="holds no weights"):
        read_state_dict(path)


@pytest.mark.parametrize("stored", ["", "[]", "null", '{"meta": 1}', '{"state_dict": {"": 1}}'])
def test_damaged_metadata(tmp_path, stored):
    save_file({"a": torch.ones(3)}, tmp_path / "w.safetensors", {"mms_ocr": stored})
    with pytest.raises(ValueError, match=r"w\.safetensors cannot be read"):
        read_state_dict(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("weight", "meta", "half", "message"),
    [
        (torch.ones(3).to_sparse(), {}, False, "sparse"),
        (torch.ones(3), {"run": object()}, False, "object is not JSON serializable"),
        (torch.full((2,), 1e6), {}, True, "a has values too large for fp16"),
    ],
)
def test_failed_writes_leave_the_old_file(tmp_path, weight, meta, half, message):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match=message):
        write_checkpoint(path, {"a": weight}, meta, half=half)
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["w.safetensors"]


def test_characters_of_a_decoder(tmp_path):
    pytest.importorskip("mmocr")

    def decoder(characters):
        file = tmp_path / "characters.txt"
        file.write_text("\n".join(characters))
        dictionary = dict(type="mmocr.Dictionary", dict_file=str(file), with_padding=True)
        return MODELS.build(dict(type="mms_ocr.CTCDecoder", in_channels=24, dictionary=dictionary))

    path, source, target = tmp_path / "w.safetensors", decoder("añ7"), decoder("añ7")
    write_checkpoint(path, source.state_dict())
    load_model(target, str(path))
    assert equal(target.state_dict(), source.state_dict())
    assert read_state_dict(path)._metadata[""]["classes"][:3] == ["a", "ñ", "7"]
    with pytest.raises(ValueError, match="checkpoint has 'ñ' at index 1, the dictionary 'n'"):
        load_model(decoder("an7"), str(path))
