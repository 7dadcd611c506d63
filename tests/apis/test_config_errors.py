"""What is wrong in a config is one line."""

import argparse
from types import SimpleNamespace

import pytest

from mms_ocr.apis.errors import run_command
from mms_ocr.apis.launching import read_config
from mms_ocr.registry import TRANSFORMS


def test_a_setting_that_a_type_does_not_know_is_told_in_one_line(capsys):
    def build():
        TRANSFORMS.build(dict(type="mms_ocr.ResizeWordImage", sise=(32, 128)))

    assert run_command("train.py", build, traceback=False) == 2
    said = capsys.readouterr().err
    assert said.startswith("train.py: the config has a setting that its type does not know: ")
    assert "ResizeWordImage" in said
    assert "'sise'" in said
    assert said.count("\n") == 1
    with pytest.raises(TypeError, match="sise"):
        run_command("train.py", build, traceback=True)


def test_the_lines_of_processes_that_fail_together_do_not_run_into_each_other(monkeypatch):
    writes = []
    stream = SimpleNamespace(write=writes.append, flush=lambda: None)
    monkeypatch.setattr("sys.stderr", stream)

    def fail():
        raise ValueError("no such\nfile")

    assert run_command("train.py", fail, traceback=False) == 2
    assert writes == ["train.py: no such file\n"]


def test_a_wrong_call_within_the_program_keeps_its_traceback():
    with pytest.raises(TypeError, match="unexpected"):
        run_command("train.py", lambda: argparse.ArgumentParser(nix=1), traceback=False)


def test_a_config_that_needs_a_missing_module_names_it(tmp_path):
    config = tmp_path / "mine.py"
    config.write_text('custom_imports = dict(imports=["not_installed_here.models"])\n')
    args = argparse.Namespace(config=str(config))
    with pytest.raises(ImportError) as raised:
        read_config(args)
    assert (
        str(raised.value) == f"{config} cannot be used here: No module named 'not_installed_here'"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '_base_ = "base.py"\nmodel = dict(arch=dict(embed_dims=32))\n',
            "You may set `_delete_=True`",
        ),
        ('_base_ = ["base.py", "other.py"]\n', "Duplicate key"),
        ("model = dict(\n", "line 1"),
        ("model = nix\n", "'nix' is not defined"),
    ],
)
def test_what_is_wrong_in_a_config_is_told_with_its_name(tmp_path, text, said):
    (tmp_path / "base.py").write_text('model = dict(arch="tiny")\n')
    (tmp_path / "other.py").write_text("model = dict(depth=1)\n")
    config = tmp_path / "mine.py"
    config.write_text(text)
    with pytest.raises(ValueError, match=said) as raised:
        read_config(argparse.Namespace(config=str(config)))
    assert str(raised.value).startswith(f"{config} cannot be read: ")
