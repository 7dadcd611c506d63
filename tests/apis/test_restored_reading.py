"""``tools/test.py --recognizer``: words read in small, restored and true images, in one table."""

import pytest
import torch
from mmengine.config import Config
from tiny_models import write_pixel_config

from mms_ocr.apis.reading import WordReader
from mms_ocr.cli import testing
from mms_ocr.registry import MODELS

LOADERS = """
loader = dict(batch_size=4, num_workers=0, persistent_workers=False)
train_dataloader = loader
val_dataloader = loader
test_dataloader = dict(loader, dataset=dict(holdout=None))
"""


@pytest.fixture
def resolver(tmp_path, repository):
    """Config and checkpoint of a model that gives the bicubic image."""
    base = repository / "configs" / "super_resolution" / "mms_vit_t_sr_words.py"
    config = write_pixel_config(tmp_path / "tiny.py", base, LOADERS)
    model = MODELS.build(Config.fromfile(config).model)
    model.init_weights()
    torch.save({"state_dict": model.state_dict()}, tmp_path / "tiny.pth")
    return config, str(tmp_path / "tiny.pth")


def run(capsys, tmp_path, *arguments):
    status = testing.main([*arguments, "--work-dir", str(tmp_path / "work")])
    captured = capsys.readouterr()
    reports = [line for line in captured.err.splitlines() if line.startswith("test.py: ")]
    return status, captured.out.splitlines(), reports


def test_words_are_read_and_tabled(
    resolver, tiny_recognizer, word_images, label_words, tmp_path, capsys
):
    paths = word_images(6)
    read = [reading.text for reading in WordReader(*tiny_recognizer[::-1], device="cpu")(paths)]
    labels = label_words(paths, read, "labels")
    status, lines, _ = run(
        capsys, tmp_path, *resolver, "--data", labels, "--recognizer", *tiny_recognizer
    )
    assert status == 0
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]
    head, _, low, restored, high = table
    assert head[:3] == ["words", "image", "PSNR, dB"]
    assert [row[1] for row in (low, restored, high)] == [
        "bicubic (LR)",
        "restored (SR)",
        "true (HR)",
    ]
    assert high[-1] == "100.0"  # labelled by what is read there
    # The decoder's last layer is zero: what it restores is the bicubic image.
    assert low[2:] == restored[2:]
    assert 0 < float(low[2]) < 40
    (note,) = [line for line in lines if line.startswith("Read: letters and digits only")]
    assert "0.0 % are read in the restored image and not in the bicubic one, and 0.0 %" in note


def test_unreadable_data_raise_one_line(
    resolver, tiny_recognizer, word_images, tmp_path, capsys, repository
):
    word_images(3)
    data = ["--data", str(tmp_path / "images")]
    segmentor = str(repository / "configs" / "segmentation" / "mms_vit_s_seg_pairs.py")
    cases = [
        ([*resolver, *data, "--recognizer", *tiny_recognizer], "no labels"),
        ([*resolver, *data, "--recognizer", "no_such", "r.pth"], "no config 'no_such'"),
        ([*resolver, *data, "--recognizer", tiny_recognizer[0], "r.pth"], "no labels"),
        (
            [segmentor, resolver[1], *data, "--recognizer", *tiny_recognizer],
            "--recognizer reads what super-resolution restored, and the model of",
        ),
    ]
    for arguments, message in cases:
        status, _, reports = run(capsys, tmp_path, *arguments)
        assert status == 2
        assert len(reports) == 1
        assert message in reports[0]
