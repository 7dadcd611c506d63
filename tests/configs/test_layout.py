"""Names and descriptions of the config files."""

from collections import Counter
from pathlib import Path

import yaml
from mmengine.config import Config

from mms_ocr.apis.zoo import FOLDERS, read_zoo

ROOT = Path(__file__).resolve().parents[2]


def test_stems_are_unique():
    """Work folders are named after them."""
    paths = [path for path in (ROOT / "configs").rglob("*.py") if "_base_" not in path.parts]
    counts = Counter(path.stem for path in paths)
    assert {stem for stem, count in counts.items() if count > 1} == set()


def test_folders_have_descriptions_that_the_index_lists():
    index = yaml.safe_load((ROOT / "model-index.yml").read_text())
    assert index["Import"] == [f"configs/{folder}/metafile.yml" for folder in FOLDERS]
    for path in index["Import"]:
        assert (ROOT / path).is_file()
    for entry in read_zoo().values():
        assert (ROOT / entry["Config"]).is_file()


def test_the_recipe_of_other_sizes_and_data(tmp_path):
    """A size's own lines and the data of another config, as configs/README.md describes."""
    path = tmp_path / "pretrain_vit_b_union14m.py"
    path.write_text(
        '_base_ = "mms_ocr::mms/pretrain_vit_s_union14m.py"\n'
        'model = dict(backbone=dict(arch="base"))\n'
    )
    cfg = Config.fromfile(path)
    assert cfg.model == Config.fromfile(ROOT / "configs/mms/pretrain_vit_b.py").model
