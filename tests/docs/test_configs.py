"""The Python blocks of the documentation that are configs load, and name arguments that exist."""

import inspect
import re

import pytest
from doc_blocks import ROOT, blocks
from mmengine.config import Config, ConfigDict

import mms_ocr.registry as registry
from mms_ocr.registry import nested_settings

CODE = re.compile(r"mms_ocr\.apis import|torch\.export|import onnxruntime")
CONFIGS = [
    block
    for block in blocks("python")
    if not CODE.search(block.body) and block.page != "CONTRIBUTING.md"  # test_contributing.py
]
# What MMEngine takes out of a dict, and TextDecoder out of that of its auxiliary decoder.
SPECIAL = {"type", "_delete_", "_scope_", "constructor", "paramwise_cfg", "loss_weight"}
# Names that a fragment takes as given.
GIVEN = {"pipeline": [], "backbone": {}, "_base_": ConfigDict(val_evaluator=[])}


def load(block, tmp_path) -> dict:
    """Return the settings of a config, with its bases, or of a fragment of one."""
    if not re.search(r"^_base_ = ", block.body, re.M):
        names = dict(GIVEN)
        exec(block.body, names)
        return {name: value for name, value in names.items() if not name.startswith("_")}
    text = block.body.replace("mms_ocr::", f"{ROOT}/configs/")
    text = text.replace('"../_base_', f'"{ROOT}/configs/_base_')
    text = text.replace('"./', f'"{ROOT}/configs/textrecog/')
    text = text.replace('"configs/', f'"{ROOT}/configs/')
    path = tmp_path / "page.py"
    path.write_text(text)
    return Config.fromfile(path).to_dict()


def registered(name: str):
    """Return the type ``mms_ocr.NAME`` of a config."""
    for kind in registry.__all__:
        types = getattr(registry, kind)
        if kind != "RUNNERS" and (found := types.get(f"mms_ocr.{name}")) is not None:
            return found
    return None


def arguments(kind) -> set[str] | None:
    """Return the names of arguments that a type takes; None if it takes any."""
    names: set[str] = set()
    bases = inspect.getmro(kind) if inspect.isclass(kind) else [kind]
    for function in [vars(base).get("__init__") if bases[1:] else base for base in bases]:
        if function is None:
            continue
        parameters = inspect.signature(function).parameters.values()
        names |= {each.name for each in parameters}
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            return names
    return None


@pytest.mark.parametrize("block", CONFIGS, ids=str)
def test_configs(block, tmp_path):
    pytest.importorskip("mmocr")
    settings = load(block, tmp_path)
    assert settings
    for typed in nested_settings(settings):
        name = str(typed.get("type", ""))
        if not name.startswith("mms_ocr."):
            continue
        kind = registered(name.removeprefix("mms_ocr."))
        assert kind is not None, name
        names = arguments(kind)
        assert names is None or set(typed) - SPECIAL <= names, name
