"""Every task trains over two processes and is tested over two: one iteration, uneven data."""

import importlib.util
import json

import cv2
import numpy as np
import pytest
from distributed import ROOT, in_processes, write_words

from mms_ocr.apis import testing, training

needs_mmocr = pytest.mark.skipif(
    importlib.util.find_spec("mmocr") is None, reason="recognizers need MMOCR"
)
TINY = """
_base_ = ["{root}/configs/{config}"]
model = dict(
    backbone=dict(
        arch=dict(
            _delete_=True, embed_dims=24, num_layers=1, num_heads=3, feedforward_channels=48
        ),
    ),
    {model}
)
"""
TEXT = "decoder=dict(n_layers=1, n_head=2, d_input=24, d_model=16, d_embedding=16, d_k=8, d_v=8),"
PIXELS = "decoder=dict(decoder_embed_dim=24, decoder_depth=1),"
MASKS = "neck=dict(decoder_embed_dim=16, decoder_depth=1, decoder_num_heads=4),"
TASKS = {
    "pretraining": ("mms/pretrain_vit_t_words.py", MASKS, "masked_error/mean"),
    "recognition": ("recognition/mms_vit_t_ar_words.py", TEXT, "recog/word_acc_ignore_case"),
    "segmentation": ("segmentation/mms_vit_t_pairs.py", PIXELS, "foreground/iou_dataset"),
    "super_resolution": ("super_resolution/mms_vit_t_words.py", PIXELS, "PSNR"),
}


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """Labelled words, and words with masks."""
    folder = tmp_path_factory.mktemp("words")
    plain = write_words(folder / "plain")
    rng = np.random.default_rng(0)
    for name in ("image", "mask"):
        (folder / "pairs" / name).mkdir(parents=True)
    for number in range(12):
        pixels = rng.integers(0, 256, (16, 48, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / "pairs" / "image" / f"{number}.png"), pixels)
        mask = np.zeros((16, 48), np.uint8)
        mask[4:12, 8 : 16 + number] = 255
        cv2.imwrite(str(folder / "pairs" / "mask" / f"{number}.png"), mask)
    return {"plain": plain, "pairs": folder / "pairs"}


@pytest.mark.parametrize(
    "task", [pytest.param(t, marks=needs_mmocr) if t == "recognition" else t for t in TASKS]
)
def test_a_task_over_two_processes(tmp_path, words, task):
    config, model, score = TASKS[task]
    path = tmp_path / "c.py"
    path.write_text(TINY.format(root=ROOT, config=config, model=model))
    options = [str(path), "--work-dir", str(tmp_path / "w"), "--launcher", "pytorch"]
    options += ["--data", str(words["pairs" if task == "segmentation" else "plain"])]
    changes = ["train_dataloader.batch_size=2", "val_dataloader.batch_size=2"]
    changes += ["test_dataloader.batch_size=2", "custom_hooks=[]"]
    for part in ("train", "val", "test"):
        changes += [f"{part}_dataloader.num_workers=0"]
        changes += [f"{part}_dataloader.persistent_workers=False"]
        changes += [f"{part}_dataloader.dataset.holdout.share=0.4"]
    run = [*options, "--iterations", "2", "--cfg-options", *changes]
    assert in_processes(2, training.main, run) == [0, 0]

    tested = [options[0], str(tmp_path / "w" / "iter_2.pth"), *options[1:]]
    tested += ["--held-out"] if task == "recognition" else []
    assert in_processes(2, testing.main, [*tested, "--cfg-options", *changes]) == [0, 0]
    logs = sorted((tmp_path / "w").rglob("vis_data/scalars.json"))
    lines = map(json.loads, logs[0].read_text().splitlines())
    last = [line[score] for line in lines if score in line][-1]
    (result,) = (tmp_path / "w").glob("*/*.json")
    # What the last validation says, to as many digits as it is written with.
    if task == "recognition":  # tested as a benchmark of one set
        score = "benchmark/all_images/word_acc_ignore_case"
    assert json.loads(result.read_text())[score] == pytest.approx(last, rel=2e-3, abs=1e-4)
