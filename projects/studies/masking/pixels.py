"""Segmentation and super-resolution from the encoders of the study: configs and measurements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from numpy.typing import NDArray
from plan import (
    BATCH_PIXELS,
    DOCUMENTS,
    DOCUMENTS_TEST,
    HELD_OUT,
    ROOT,
    SHARP,
    TESTS,
    Chain,
    Settings,
    on_one_core,
)
from probes import estimate_share
from torch.utils.data import DataLoader

from mms_ocr.evaluation import count_foreground, foreground_scores
from mms_ocr.evaluation.restored_images import psnr, squared_error, ssim
from mms_ocr.models.weights import load_model
from mms_ocr.registry import DATASETS, FUNCTIONS, METRICS, MODELS

READER = dict(
    config=str(ROOT / "configs/textrecog/mms_vit_n_ctc_words.py"),
    weights="mms_ocr://mms_vit_n_ctc",
)
PROTOCOL = "word_acc_ignore_case_symbol"
TEST_SEED = 2  # of rendered words; training has 0
RESAMPLES = 1000


def segmentation_config(chain: Chain, settings: Settings, checkpoint: str | None) -> Config:
    """Config of a segmentor on rendered words and, one in ten, words of documents.

    Args:
        chain: Variant and seed.
        settings: Data and length.
        checkpoint: Pretrained encoder; None for random weights.
    """
    cfg = Config.fromfile(ROOT / "configs/segmentation/mms_vit_n_seg_rendered.py")
    rendered = dict(cfg.train_dataloader.dataset, fonts=settings.fonts)
    documents = dict(
        type="mms_ocr.WordMaskDataset",
        path=settings.paths([DOCUMENTS]),
        pipeline=[dict(type="mms_ocr.WarpWordMask", prob=0.5), *cfg.train_pipeline],
    )
    return _pixel_config(cfg, chain, settings, checkpoint, [rendered, documents], [9, 1])


def upscaling_config(chain: Chain, settings: Settings, checkpoint: str | None) -> Config:
    """Config of an upscaler on sharp words, half of them rendered, that are degraded.

    See :func:`segmentation_config` for the arguments.
    """
    cfg = Config.fromfile(ROOT / "configs/super_resolution/mms_vit_n_sr_words.py")
    real = dict(
        type="mms_ocr.WordImageDataset",
        path=settings.paths(SHARP),
        holdout=dict(share=HELD_OUT, part="train"),
        pipeline=cfg.train_pipeline,
    )
    rendered = dict(
        type="mms_ocr.RenderedWordDataset",
        num_samples=1_000_000,
        seed=0,
        fonts=settings.fonts,
        font_part="train",
        settings=cfg.sharp,
        pipeline=cfg.train_pipeline,
    )
    return _pixel_config(cfg, chain, settings, checkpoint, [rendered, real], [1, 1])


def _pixel_config(
    cfg: Config,
    chain: Chain,
    settings: Settings,
    checkpoint: str | None,
    datasets: list[dict],
    weights: list[int],
) -> Config:
    if checkpoint:
        cfg.model.backbone.init_cfg = dict(type="mms_ocr.PretrainedTextViT", checkpoint=checkpoint)
    cfg.train_dataloader.batch_size = BATCH_PIXELS
    cfg.train_dataloader.dataset = dict(
        type="mms_ocr.MixedDataset", datasets=datasets, weights=weights
    )
    cfg.optim_wrapper.optimizer.lr = 1e-3
    cfg.test_dataloader = cfg.test_evaluator = cfg.test_cfg = None
    return on_one_core(cfg, chain.seed, settings.pixel_words // BATCH_PIXELS)


def measure_masks(cfg: Config, checkpoint: Path, settings: Settings) -> dict[str, dict]:
    """IoU over all pixels on rendered words in unseen fonts and on words of documents.

    Also that of Otsu's threshold. Standard errors are by bootstrap over images.
    """
    model = _load(cfg, checkpoint)
    rendered = dict(
        type="mms_ocr.RenderedWordDataset",
        num_samples=max(1, round(2048 * settings.test_share)),
        seed=TEST_SEED,
        fonts=settings.fonts,
        font_part="val",
        extras=("mask",),
        pipeline=cfg.val_pipeline,
    )
    documents = dict(
        type="mms_ocr.WordMaskDataset",
        path=settings.paths([DOCUMENTS_TEST]),
        pipeline=cfg.val_pipeline,
    )
    result = {}
    for name, words in (("unseen fonts", rendered), ("documents", documents)):
        masks = (
            (sample.pred_sem_seg.data.numpy(), sample.gt_sem_seg.data.numpy())
            for sample in _predict(model, words, cfg.train_dataloader.collate_fn)
        )
        result[name] = estimate_iou([count_foreground(*pair) for pair in masks])
        dataset = DATASETS.build(words)
        items = (dataset.load(index) for index in range(len(dataset)))
        by_otsu = [count_foreground(otsu_mask(item["img"]), item["mask"]) for item in items]
        result[f"{name}, Otsu"] = estimate_iou(by_otsu)
    return result


def estimate_iou(counts: Sequence[tuple[int, int, int]]) -> dict[str, float]:
    """IoU over the pixels of all images, with its standard error by bootstrap over images."""
    table, random = np.array(counts), np.random.default_rng(0)
    drawn = random.integers(len(table), size=(RESAMPLES, len(table)))
    values = [foreground_scores([table[rows].sum(axis=0)])["iou_dataset"] for rows in drawn]
    value = foreground_scores(counts)["iou_dataset"]
    return {"value": value, "se": float(np.std(values))}


def otsu_mask(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """1 on the smaller side of Otsu's threshold of an image in BGR."""
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    mask = cv2.threshold(gray, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[1]
    return mask if mask.mean() <= 0.5 else 1 - mask


def measure_restored(cfg: Config, checkpoint: Path, settings: Settings) -> dict[str, dict]:
    """PSNR in dB, SSIM, and words that mms_vit_n_ctc reads in images restored and not.

    The words are IIIT5K's test words, degraded the same way every time. Images without restoring
    are enlarged by bicubic interpolation.
    """
    model = _load(cfg, checkpoint)
    words = dict(
        type="mms_ocr.WordImageDataset",
        path=settings.paths([TESTS["IIIT5K"]]),
        labelled=True,
        pipeline=cfg.val_pipeline,
    )
    if settings.test_share < 1:
        words["holdout"] = dict(share=settings.test_share, part="val")
    samples = list(_predict(model, words, cfg.train_dataloader.collate_fn))
    result = {}
    for prefix, field in (("", "pred_img"), ("bicubic ", "bicubic_img")):
        pairs = [(sample.get(field), sample.gt_img) for sample in samples]
        ratios = [psnr(float(squared_error(*(each[None] for each in pair)))) for pair in pairs]
        result[f"{prefix}PSNR"] = _estimate_mean(ratios)
        result[f"{prefix}SSIM"] = _estimate_mean([ssim(*pair) for pair in pairs])
    reader = METRICS.build(dict(type="mms_ocr.RestoredWordAccuracy", recognizer=READER))
    for start in range(0, len(samples), BATCH_PIXELS):
        reader.process(None, [sample.to_dict() for sample in samples[start : start + BATCH_PIXELS]])
    shares = reader.evaluate(len(samples))
    for prefix, kind in (("", "SR"), ("bicubic ", "LR"), ("true ", "HR")):
        result[f"{prefix}words"] = estimate_share(shares[f"{kind}/{PROTOCOL}"], len(samples))
    return result


def _estimate_mean(values: Sequence[float]) -> dict[str, float]:
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"value": float(np.mean(values)), "se": deviation / len(values) ** 0.5}


def _load(cfg: Config, checkpoint: Path) -> torch.nn.Module:
    cfg.model.backbone.init_cfg = None  # all weights are in the checkpoint
    model = MODELS.build(cfg.model)
    load_model(model, str(checkpoint))
    return model.eval()


def _predict(model: Any, words: dict[str, Any], collate_fn: dict[str, str]) -> Iterator[Any]:
    """Yield the samples of a data set with their predictions."""
    torch.set_num_threads(1)
    collate = FUNCTIONS.get(collate_fn["type"])
    for batch in DataLoader(DATASETS.build(words), batch_size=BATCH_PIXELS, collate_fn=collate):
        yield from model.test_step(batch)
