"""The work folder may be the folder of the config, and may have any name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.model import BaseModel

from mms_ocr.cli.launching import ConfigKeepingRunner


class Nothing(BaseModel):
    def forward(self, *args, **kwargs):
        return {}


@pytest.mark.parametrize("given", ["config", "base", "link", "copy"])
def test_dump_does_not_replace_a_config(tmp_path, given):
    base, config = tmp_path / "base" / "run.py", tmp_path / "run.py"
    base.parent.mkdir()
    base.write_text("setting = 1  # why\n")
    config.write_text(f"_base_ = [{str(base)!r}]\n")
    work = {"config": tmp_path, "base": base.parent}.get(given, tmp_path / "work")
    work.mkdir(exist_ok=True)
    if given == "link":
        os.link(config, work / "run.py")
    elif given == "copy":
        (work / "run.py").write_text("of an earlier run")
    before = base.read_bytes(), config.read_bytes()
    ConfigKeepingRunner(
        model=Nothing(), work_dir=str(work), cfg=Config.fromfile(config), experiment_name=given
    )
    assert (base.read_bytes(), config.read_bytes()) == before
    assert ((work / "run.py").read_text() == "setting = 1\n") == (given == "copy")


def test_log_escapes_any_name(tmp_path):
    work = tmp_path / os.fsdecode(b"caf\xe9")
    cfg = Config(dict(setting=1))
    runner = ConfigKeepingRunner(
        model=Nothing(), work_dir=str(work), cfg=cfg, experiment_name="names"
    )
    runner.logger.info(f"saved in {work}, É")
    (log,) = Path(runner.log_dir).glob("*.log")
    assert rf"saved in {tmp_path}/caf\udce9, É" in log.read_text("utf-8")
