"""Tiny runs of every task, on words of noise."""

import cv2
import numpy as np
from distributed import ROOT, write_words

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
#: Config, what is smaller in it, and a score.
TASKS = {
    "pretraining": ("mms/pretrain_vit_s_words.py", MASKS, "masked_error/mean"),
    "textrecog": ("textrecog/mms_vit_t_ar_words.py", TEXT, "recog/word_acc_ignore_case"),
    "segmentation": ("segmentation/mms_vit_s_seg_pairs.py", PIXELS, "foreground/iou_dataset"),
    "super_resolution": ("super_resolution/mms_vit_t_sr_words.py", PIXELS, "PSNR"),
}


def write_data(folder):
    """Labelled words, and words with masks."""
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


def write_task(path, task):
    """Write the config of a tiny run of a task; return its path."""
    config, model, _ = TASKS[task]
    path.write_text(TINY.format(root=ROOT, config=config, model=model))
    return path


def task_options(task, data):
    """Return the options of tools/train.py and tools/test.py for a tiny run of a task."""
    options = ["--data", str(data["pairs" if task == "segmentation" else "plain"]), "--cfg-options"]
    options += ["custom_hooks=[]"]
    for part in ("train", "val", "test"):
        options += [f"{part}_dataloader.batch_size=2", f"{part}_dataloader.num_workers=0"]
        options += [f"{part}_dataloader.persistent_workers=False"]
        options += [f"{part}_dataloader.dataset.holdout.share=0.4"]
    return options
