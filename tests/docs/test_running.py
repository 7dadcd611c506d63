"""The quick commands and the Python code of the documentation run, on stand-in files."""

import inspect
import re
import runpy
import sys
from pathlib import Path

import cv2
import matplotlib
import pytest
import torch
from doc_blocks import ROOT, blocks, commands
from made_images import lmdb_entries, write_jsonl, write_lmdb
from mmengine.config import Config

from mms_ocr.cli.main import main
from mms_ocr.datasets import RenderedWordDataset

# Programs that take longer than a test, or change the machine; test_commands.py checks them.
ONLY_CHECKED = {
    "adapt", "bench_scaling.py", "bundle.py", "bundle_onnx.py", "cat", "cd", "convert_weights.py",
    "dist_train.sh", "docker", "git", "grep", "make", "pip", "slurm_train.sh", "source", "test.py",
    "train.py", "union14m.py", "web", "zoo_check.py",
}  # fmt: skip
pytestmark = pytest.mark.slow  # half a minute
WEIGHTS = {"read": "mms_vit_n_ctc", "segment": "mms_vit_n_seg", "upscale": "mms_vit_n_sr"}
OUTPUTS = ("--out", "--sheet", "--list", "--picture")
COUNT = 12  # words
# Pages with measurements and studies are not run: their data are not part of the project.
PAGES = re.compile(r"(README|docs/\w+|configs/\w+/README)\.md")


@pytest.fixture(scope="module")
def words():
    """Rendered words, as PNG."""
    rendered = RenderedWordDataset(num_samples=COUNT, seed=5, pipeline=[])
    images = [cv2.imencode(".png", word["img"])[1].tobytes() for word in rendered]
    return images, [word["text"] for word in rendered]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Checkpoint of an untrained recognizer of ``mms_vit_s_ar_words``."""
    pytest.importorskip("mmocr")
    from mmengine.registry import DefaultScope

    from mms_ocr.registry import MODELS

    path = tmp_path_factory.mktemp("weights") / "iter_40000.pth"
    with DefaultScope.overwrite_default_scope("mms_ocr"):
        model = MODELS.build(
            Config.fromfile(ROOT / "configs/textrecog/mms_vit_s_ar_words.py").model
        )
    torch.save({"state_dict": model.state_dict(), "meta": {}}, path)
    return path


@pytest.fixture
def stand_in(words, checkpoint):
    """Writes a file or folder of the documentation, if it is not there."""
    images, labels = words

    def make(name: str) -> None:
        path = Path(name)
        if path.exists():
            return
        if path.suffix == ".jsonl":
            write_jsonl(path, images, labels)
        elif path.suffix == ".lmdb":
            write_lmdb(path, lmdb_entries(images, labels))
        elif path.suffix in (".png", ".jpg"):
            path.write_bytes(images[0])
        elif path.suffix == ".pth":
            path.symlink_to(checkpoint)
        elif re.fullmatch(r"[a-z]\w*/", name):
            path.mkdir()
            for number, image in enumerate(images):
                (path / f"{number}.png").write_bytes(image)

    return make


def prepare(command: list[str], make) -> list[str]:
    """Return a command with stand-ins for its placeholders and large numbers; make its inputs."""
    prepared = []
    is_script = command[0] == "python"  # of which the first file is the input
    for number, (option, word) in enumerate(zip(["", *command], command)):
        if word == "CHECKPOINT":
            word = WEIGHTS[command[1]]
        elif word == "FOLDER":
            word = f"{matplotlib.get_data_path()}/fonts/ttf"
        elif option == "--count":
            word = str(COUNT)
        elif option == "--data" or (number == 2 if is_script else option not in OUTPUTS):
            make(word)
        prepared.append(word)
    return prepared


def run(command: list[str], monkeypatch) -> int:
    if command[0] == "mms-ocr":
        return main(command[1:])
    monkeypatch.setattr(sys, "argv", command[1:])
    with pytest.raises(SystemExit) as status:
        runpy.run_path(str(ROOT / command[1]), run_name="__main__")
    return status.value.code or 0


def program(command: list[str]) -> str:
    if command[:2] == ["mms-ocr", "web"]:
        return "web"  # serves until it is interrupted
    if command[:2] == ["mms-ocr", "adapt"] or "my_reader/" in command:
        return "adapt"  # trains, and what reads with the result
    return Path(command[1] if command[0] == "python" else command[0]).name


CONSOLES = [block for block in blocks("console", "bash") if PAGES.fullmatch(block.page)]
RUN = [
    block
    for block in CONSOLES
    if any(program(command) not in ONLY_CHECKED for command in commands(block))
]


@pytest.mark.parametrize("block", RUN, ids=str)
def test_quick_commands(block, stand_in, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for command in commands(block):
        if program(command) in ONLY_CHECKED:
            continue
        status = run(prepare(command, stand_in), monkeypatch)
        assert status == 0, f"{block}: {' '.join(command)}: {capfd.readouterr().err}"


# Names that the code of a page takes as given.
IMAGES = [
    block
    for block in blocks("python")
    if re.search("mms_ocr.apis import (?!adapt)|attention_maps", block.body)
]


@pytest.mark.parametrize("block", IMAGES, ids=str)
def test_python_on_images(block, stand_in, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in re.findall(r"\"([\w/]+\.\w+|[a-z]\w*/)\"", block.body):
        stand_in(name)
    array = cv2.imread("word.png" if Path("word.png").exists() else "sign.jpg")
    exec(block.body, {"array": array, "paths": ["word.png"]})


def test_python_of_an_adaptation(monkeypatch, capsys):
    """The call fits the function, which trains for hours and is not run."""
    (block,) = (block for block in blocks("python") if "import adapt\n" in block.body)
    from mms_ocr.apis import adaptation

    signature = inspect.signature(adaptation.adapt)
    given = []

    def adapt(*args, **kwargs):
        given.append(signature.bind(*args, **kwargs).arguments)
        return {"written": "finetune", "readers": []}

    monkeypatch.setattr(adaptation, "adapt", adapt)
    exec(block.body, {})
    assert given[0]["out"] == "my_reader"
    assert "finetune" in capsys.readouterr().out


def test_python_on_the_encoder():
    (block,) = (block for block in blocks("python") if "torch.export" in block.body)
    from mms_ocr.models import TextViT

    names = {"torch": torch, "encoder": TextViT(arch="nano", patch_size=(8, 4)).eval()}
    exec(block.body, names)
    images = torch.rand(3, 3, 32, 128)
    expected = names["encoder"](images)
    torch.testing.assert_close(names["program"].module()(images), expected)
    torch.testing.assert_close(names["traced"](images), expected)


def test_pictures(tmp_path, monkeypatch):
    """The pictures of the idea are those that the script draws."""
    pytest.importorskip("mmocr")
    names = runpy.run_path(str(ROOT / "docs/draw_pictures.py"))
    monkeypatch.setitem(names["main"].__globals__, "IMAGES", tmp_path)
    assert names["main"]() == 0
    stored = ROOT / "docs/images"
    for path in tmp_path.glob("*.png"):
        drawn, expected = cv2.imread(str(path)), cv2.imread(str(stored / path.name))
        assert drawn.shape == expected.shape
        # Other processors round differently, and fonts and palettes follow.
        assert abs(drawn.astype(int) - expected).mean() < 8, path.name
    svg = tmp_path / "idea_weights.svg"
    assert svg.read_text() == (stored / svg.name).read_text()
    assert len(list(tmp_path.iterdir())) == 5
