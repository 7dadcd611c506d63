"""Names and descriptions of the config files."""

import re
from collections import Counter
from pathlib import Path

import pytest
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


def test_readmes_name_existing_configs():
    for folder in FOLDERS:
        text = (ROOT / "configs" / folder / "README.md").read_text()
        assert "metafile.yml" in text or not any(
            entry["Config"].startswith(f"configs/{folder}/") for entry in read_zoo().values()
        )
        for name in re.findall(rf"configs/{folder}/\S+\.py", text):
            assert (ROOT / name).is_file()


@pytest.mark.parametrize("folder", FOLDERS)
def test_recipes_of_other_sizes_and_data(folder, tmp_path):
    """The example of each README gives the model of the size that it names."""
    text = (ROOT / "configs" / folder / "README.md").read_text()
    (recipe,) = re.findall("```python\n(.*?)```", text, flags=re.S)
    path = tmp_path / "recipe.py"
    path.write_text(recipe.replace("mms_ocr::", f"{ROOT}/configs/"))
    model = Config.fromfile(path).model
    names = {
        "mms": "pretrain_vit_b",
        "textrecog": "mms_vit_t_ctc_words",
        "segmentation": "mms_vit_t_seg_rendered",
        "super_resolution": "mms_vit_t_sr_words",
    }
    assert model == Config.fromfile(ROOT / f"configs/{folder}/{names[folder]}.py").model
