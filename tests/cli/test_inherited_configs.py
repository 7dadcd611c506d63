"""Configs inherited from the installed package, by ``_base_ = 'mms_ocr::…'``."""

import pytest
from distributed import ROOT
from mmengine.config import Config
from mmengine.runner import Runner
from tiny_tasks import TASKS, task_options, write_data, write_task

from mms_ocr.cli import testing, training
from mms_ocr.cli.launching import fit_to_machine

CONFIGS = sorted(
    path.relative_to(ROOT / "configs").as_posix()
    for path in (ROOT / "configs").rglob("*.py")
    if "_base_" not in path.parts and not path.name.startswith("_")
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def installed(tmp_path_factory, monkeypatch):
    """The configs of this checkout are those of the installed package."""
    folder = tmp_path_factory.mktemp("installed")
    (folder / ".mim").mkdir()
    for part in ("configs", "model-index.yml"):
        (folder / ".mim" / part).symlink_to(ROOT / part)
    config_module = "mmengine.config.config"
    original = __import__(config_module, fromlist=["config"]).get_installed_path
    monkeypatch.setattr(
        f"{config_module}.get_installed_path",
        lambda package: str(folder) if package == "mms_ocr" else original(package),
    )
    return folder / ".mim/configs"


def read(path):
    return Config.fromfile(path, import_custom_modules=False)


@pytest.mark.parametrize("name", CONFIGS)
def test_child_equals_the_inherited_config(tmp_path, installed, name):
    path = tmp_path / "my.py"
    path.write_text(f"_base_ = 'mms_ocr::{name}'\n")
    assert read(path).to_dict() == read(installed / name).to_dict()


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_other_formats_inherit_too(tmp_path, suffix):
    path = tmp_path / f"my{suffix}"
    path.write_text('{"_base_": "mms_ocr::mms/pretrain_vit_t.py", "work_dir": "w"}\n')
    expected = read(ROOT / "configs/mms/pretrain_vit_t.py").to_dict()
    assert read(path).to_dict() == {**expected, "work_dir": "w"}


def test_a_part_of_another_package_beside_ours(tmp_path):
    path = tmp_path / "my.py"
    bases = ["mmocr::textrecog/crnn/_base_crnn_mini-vgg.py"]
    bases += [f"mms_ocr::_base_/{part}.py" for part in ("datasets/rec_rendered", "rec_runtime")]
    path.write_text(f"_base_ = {bases}\nval_dataloader = _base_.val_dataloader\n")
    cfg = read(path)
    assert cfg.model._scope_ == "mmocr"  # MMOCR's types have no scope of their own
    own = read(ROOT / "configs/_base_/datasets/rec_rendered.py")
    assert cfg.train_dataloader == own.train_dataloader
    assert cfg.val_dataloader == own.val_dataloader


@pytest.mark.parametrize("function", ["pseudo_collate", "default_collate"])
def test_a_function_inherited_from_another_package(function):
    """MMEngine hands the scope that it writes there to the function."""
    loader = dict(
        dataset=[1, 2],
        sampler=None,
        batch_size=1,
        collate_fn=dict(type=function, _scope_="mmpretrain"),
    )
    cfg = Config(dict(train_dataloader=loader))
    fit_to_machine(cfg)
    built = Runner.build_dataloader(cfg.train_dataloader)
    assert len(list(built)) == 2


@pytest.mark.parametrize("task", TASKS)
def test_it_trains_validates_and_tests(tmp_path, monkeypatch, data, task):
    path = write_task(tmp_path / "c.py", task)
    path.write_text(path.read_text().replace(f"{ROOT}/configs/", "mms_ocr::"))
    assert "mms_ocr::" in path.read_text()
    monkeypatch.setattr("yapf.yapflib.yapf_api.FormatCode", lambda text, **_: (text, True))
    monkeypatch.setattr("mmengine.runner.runner.collect_env", dict)
    work, options = tmp_path / "w", task_options(task, data)
    assert training.main([str(path), "--iterations", "2", "--work-dir", str(work), *options]) == 0
    checkpoint = work / "iter_2.pth"
    if task == "textrecog":  # whose test sets are whole
        options = options[:2]
    assert testing.main([str(path), str(checkpoint), "--work-dir", str(work), *options]) == 0
