"""Errors in a config are one line."""

import argparse
import os
from types import SimpleNamespace

import pytest
from mmengine.config import Config

from mms_ocr.cli import testing, training
from mms_ocr.cli.data_option import check_data
from mms_ocr.cli.launching import read_config
from mms_ocr.registry import TRANSFORMS
from mms_ocr.utils.errors import run_command


def test_unknown_argument_of_a_type_gives_one_line(capsys):
    def build():
        TRANSFORMS.build(dict(type="mms_ocr.ResizeWordImage", sise=(32, 128)))

    assert run_command("train.py", build, traceback=False) == 2
    message = capsys.readouterr().err
    assert message.startswith("train.py: the config has a setting that its type does not know: ")
    assert "ResizeWordImage" in message
    assert "'sise'" in message
    assert message.count("\n") == 1
    with pytest.raises(TypeError, match="sise"):
        run_command("train.py", build, traceback=True)


def test_each_error_is_written_in_one_call(monkeypatch):
    writes = []
    stream = SimpleNamespace(write=writes.append, flush=lambda: None)
    monkeypatch.setattr("sys.stderr", stream)

    def fail():
        raise ValueError("no such\nfile")

    assert run_command("train.py", fail, traceback=False) == 2
    assert writes == ["train.py: no such file\n"]


def test_a_missing_package_is_named_with_what_installs_it(capsys):
    def fail():
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    assert run_command("mms-ocr render", fail, traceback=False) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mms-ocr render: torch is needed")
    assert "mms-ocr doctor" in line


def test_a_wrong_call_within_the_program_keeps_its_traceback():
    with pytest.raises(TypeError, match="unexpected"):
        run_command("train.py", lambda: argparse.ArgumentParser(nix=1), traceback=False)


def test_a_config_that_needs_a_missing_module_names_it(tmp_path):
    config = tmp_path / "mine.py"
    config.write_text('custom_imports = dict(imports=["not_installed_here.models"])\n')
    args = argparse.Namespace(config=str(config))
    with pytest.raises(ImportError, match="'not_installed_here'") as raised:
        read_config(args)
    assert str(config) in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '_base_ = "base.py"\nmodel = dict(arch=dict(embed_dims=32))\n',
            "You may set `_delete_=True`",
        ),
        ('_base_ = ["base.py", "other.py"]\n', "Duplicate key"),
        ("model = dict(\n", "line 1"),
        ("model = nix\n", "'nix' is not defined"),
        ('_base_ = "nobody::mms/pretrain_vit_s.py"\n', "support to load nobody config"),
        (
            "from mmengine.config import read_base\nwith read_base():\n    from .nix import *\n",
            r"nix\.py not found",
        ),
    ],
)
def test_an_error_in_a_config_names_it(tmp_path, text, message):
    (tmp_path / "base.py").write_text('model = dict(arch="tiny")\n')
    (tmp_path / "other.py").write_text("model = dict(depth=1)\n")
    config = tmp_path / "mine.py"
    config.write_text(text)
    with pytest.raises(ValueError, match=message) as raised:
        read_config(argparse.Namespace(config=str(config)))
    assert str(raised.value).startswith(f"{config} cannot be read: ")


@pytest.mark.parametrize("base", ["../_base_/models/rec_ctc.py", "none.py"])
def test_config_copied_without_its_bases(tmp_path, base):
    config = tmp_path / "copied.py"
    config.write_text(f'_base_ = ["{base}"]\n')
    with pytest.raises(FileNotFoundError, match=r"(rec_ctc|none)\.py does not exist") as raised:
        read_config(argparse.Namespace(config=str(config)))
    assert str(config) in str(raised.value)


@pytest.mark.parametrize(
    ("main", "text", "part"),
    [
        (training.main, "train_dataloader = dict()\n", "model"),
        (training.main, 'model = dict(type="mms_ocr.MMS")\n', "train_dataloader"),
        (testing.main, 'model = dict(type="mms_ocr.MMS")\n', "test_dataloader"),
    ],
)
def test_incomplete_config_gives_one_line(tmp_path, capsys, main, text, part):
    config = tmp_path / "part.py"
    config.write_text(text)
    assert main([str(config), *(["none.pth"] if main is testing.main else [])]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{config} has no {part}: " in line


@pytest.mark.parametrize(
    "name",
    [
        "mms/pretrain_vit_s_words",
        "textrecog/mms_vit_t_ctc_words",
        "super_resolution/mms_vit_t_sr_words",
    ],
)
def test_missing_data_are_named_with_the_option(capsys, repository, tmp_path, name):
    config = repository / "configs" / f"{name}.py"
    for main, options in ((training.main, []), (testing.main, ["none.pth"])):
        assert main([str(config), *options, "--work-dir", str(tmp_path)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert str(config) in line
        assert "--data" in line


def test_a_file_in_the_place_of_the_work_folder_is_one_line(tmp_path, capsys):
    config = tmp_path / "mine.py"
    config.write_text("model = dict(type='mms_ocr.MMS')\n")
    assert training.main([str(config), "--work-dir", str(config)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(config) in line


def test_work_folder_name_outside_utf8_gives_one_line(tmp_path, capsys):
    config = tmp_path / "c.py"
    config.write_text("model = dict(type='none')\n")
    work = str(tmp_path / os.fsdecode(b"caf\xe9"))
    assert training.main([str(config), "--work-dir", work]) == 2
    assert r"caf\udce9" in capsys.readouterr().err
    assert not os.path.exists(work)


def test_work_folder_inside_the_data_gives_a_warning(tmp_path, caplog):
    (tmp_path / "link").symlink_to(tmp_path / "words", target_is_directory=True)
    (tmp_path / "words").mkdir()
    dataset = dict(type="mms_ocr.WordImageDataset", path=[str(tmp_path / "words")])
    for work_dir, warned in (("words/run", True), ("link/a/b", True), ("run", False)):
        work_dir = str(tmp_path / work_dir)
        cfg = Config(dict(work_dir=work_dir, train_dataloader=dict(dataset=dataset)))
        with caplog.at_level("WARNING"):
            check_data(cfg, ("train", "val"))
        assert (f"the work folder {work_dir} is in" in caplog.text) == warned


def test_no_workers_are_not_kept(tmp_path):
    config = tmp_path / "mine.py"
    loader = "dict(num_workers={}, persistent_workers=True)"
    config.write_text(
        f"train_dataloader = {loader.format(0)}\nval_dataloader = {loader.format(1)}\n"
    )
    options = dict(launcher="none", data=None, cfg_options=None, work_dir=None)
    cfg = read_config(argparse.Namespace(config=str(config), **options))
    assert cfg.train_dataloader.persistent_workers is False
    assert cfg.val_dataloader.persistent_workers is True
