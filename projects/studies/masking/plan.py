"""Trainings of the study of masking: variants, seeds, data, and the configs of all runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from mms_ocr.engine import set_iterations
from mms_ocr.registry import DATASETS

ROOT = Path(__file__).resolve().parents[3]
# Masks of all variants that do not say otherwise, under which masked errors are compared as well.
COMMON_MASKS = {"mode": "mixed", "ratio": 0.75, "weights": [1, 1, 1]}
OWN_RATIOS = [0.75, 0.6, 0.6]  # of random patches, blocks and spans
HELD_OUT = 0.03  # share of every training set that nothing is trained on
NUM_FEW = 500
BATCH_VIEWS = 96  # masked views of a step of pretraining
BATCH_WORDS = 32  # words of a step of fine-tuning
BATCH_PIXELS = 64  # words of a step of a segmentor or an upscaler

LABELLED = tuple(
    f"{name}/train.jsonl" for name in ("iiit5k", "icdar2015", "svt", "icdar2003", "born_digital")
)
UNLABELLED = ("mlt17_latin/unlabelled.jsonl", "icdar2015_regions/unlabelled.jsonl", *LABELLED)
# Masked error is measured on the held-out part of these. Regions of ICDAR 2015 show some of its
# words a second time, so neither is among them.
MASKED_ERROR_SETS = (
    "mlt17_latin/unlabelled.jsonl",
    "iiit5k/train.jsonl",
    "born_digital/train.jsonl",
)
TESTS = {
    "IIIT5K": "iiit5k/test.jsonl",
    "SVT": "svt/test.jsonl",
    "ICDAR 2013": "icdar2013/test_1015.jsonl",
}
DOCUMENTS, DOCUMENTS_TEST = "dibco/train.jsonl", "dibco/test.jsonl"  # with masks
SHARP = ("iiit5k/train.jsonl", "icdar2003/train.jsonl", "icdar2015/train.jsonl")
STEPS = ("pretrain", "encoder", "all", "again", "few", "segmentation", "upscaling")
AGAIN = 100  # added to the seed, for the second fine-tuning of an encoder
PROBE_FIT, PROBE_TEST = "iiit5k/train.jsonl", "iiit5k/test.jsonl"


@dataclass(frozen=True)
class Variant:
    """One way of pretraining.

    Attributes:
        title: What tables call it.
        masks: Changes to the common masks; None for no pretraining.
        views: Masked views of every image in a batch.
        contrast: Whether the contrastive term between views is on.
        seeds: Of its runs.
        pixels: Whether its encoders also start segmentors and upscalers.
    """

    title: str
    masks: dict[str, Any] | None = field(default_factory=dict)
    views: int = 1
    contrast: bool = False
    seeds: tuple[int, ...] = (0, 1, 2)
    pixels: bool = False


VARIANTS = {
    "none": Variant("no pretraining", masks=None, pixels=True),
    "random": Variant("random patches alone", {"weights": [1, 0, 0]}, pixels=True),
    "mixed": Variant("mixed, one ratio", pixels=True),
    "mixed_own": Variant("mixed, ratios of their own", {"ratio": OWN_RATIOS}),
    "joint": Variant("joint", {"mode": "joint"}, views=3),
    "blocks": Variant("blocks alone", {"weights": [0, 1, 0]}, seeds=(0,)),
    "spans": Variant("spans alone", {"weights": [0, 0, 1]}, seeds=(0,)),
    "joint_contrast": Variant(
        "joint and contrastive", {"mode": "joint"}, views=3, contrast=True, seeds=(0,)
    ),
}


@dataclass(frozen=True)
class Settings:
    """Settings that all runs of a work folder share.

    Attributes:
        data: Folder with the sets of real words.
        rendered: Rendered words, an LMDB.
        views: Masked views that every pretraining sees.
        words: Words that every fine-tuning sees.
        probe_words: Maximum number of real words that train a probe, and of words that measure it.
            The probe of context also trains on four times as many rendered words.
        test_share: Share of every test set that is measured, in (0, 1].
        fonts: Folder of fonts of segmentors and upscalers; None for those of matplotlib.
        pixel_words: Words that every segmentor and upscaler sees.
    """

    data: str
    rendered: str
    views: int
    words: int
    probe_words: int
    test_share: float
    fonts: str | None = None
    pixel_words: int = 25_600

    def paths(self, names: Sequence[str]) -> list[str]:
        """Return the files of the data folder by their names."""
        return [str(Path(self.data, name)) for name in names]

    def as_dict(self) -> dict[str, Any]:
        """Convert the settings to JSON data."""
        return asdict(self)


@dataclass(frozen=True)
class Chain:
    """A variant with a seed: pretraining, probes of the encoder, and its fine-tunings."""

    variant: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.variant}_seed{self.seed}"

    @property
    def steps(self) -> tuple[str, ...]:
        """Names of its steps, in their order."""
        variant = VARIANTS[self.variant]
        first = STEPS.index("encoder") if variant.masks is None else 0
        return STEPS[first : None if variant.pixels else STEPS.index("segmentation")]


def missing_data(settings: Settings) -> list[str]:
    """List the files that the study needs and that are missing."""
    needed = [*settings.paths([*UNLABELLED, *TESTS.values(), DOCUMENTS, DOCUMENTS_TEST])]
    needed.append(settings.rendered)
    return [path for path in needed if not Path(path).exists()]


def plan_chains(only: Sequence[str] | None = None) -> list[Chain]:
    """List the chains of all or some variants, ordered by seed."""
    chains = [Chain(name, seed) for name, variant in VARIANTS.items() for seed in variant.seeds]
    chains = [chain for chain in chains if only is None or chain.variant in only]
    return sorted(chains, key=lambda chain: chain.seed)


def pretraining_config(chain: Chain, settings: Settings) -> Config:
    """Build the config of a chain's pretraining; without pretraining, of model and masks only."""
    cfg = Config.fromfile(ROOT / "configs/mms/pretrain_vit_n.py")
    variant = VARIANTS[chain.variant]
    cfg.model.data_preprocessor.mask_generator.update(COMMON_MASKS | (variant.masks or {}))
    if variant.contrast:
        cfg.model.contrast = dict(type="mms_ocr.ViewContrast")
    real = dict(
        type="mms_ocr.WordImageDataset",
        path=settings.paths(UNLABELLED),
        holdout=dict(share=HELD_OUT, part="train"),
        pipeline=cfg.train_pipeline,
    )
    rendered = dict(
        type="mms_ocr.WordImageDataset", path=settings.rendered, pipeline=cfg.train_pipeline
    )
    cfg.train_dataloader.batch_size = BATCH_VIEWS // variant.views
    cfg.train_dataloader.dataset = dict(
        type="mms_ocr.MixedDataset", datasets=[real, rendered], weights=[1, 1]
    )
    cfg.optim_wrapper.optimizer.lr = 1.5e-3
    return on_one_core(cfg, chain.seed, settings.views // BATCH_VIEWS)


def masked_error_dataset(settings: Settings) -> dict[str, Any]:
    """Held-out real words that masked errors are measured on."""
    cfg = Config.fromfile(ROOT / "configs/mms/pretrain_vit_n.py")
    return dict(
        type="mms_ocr.WordImageDataset",
        path=settings.paths(MASKED_ERROR_SETS),
        holdout=dict(share=HELD_OUT, part="val"),
        pipeline=cfg.val_pipeline,
    )


def finetuning_config(
    chain: Chain, settings: Settings, step: str, checkpoint: str | None
) -> Config:
    """Build the config of a recognizer that is trained on all labelled words, or on a few of them.

    Args:
        chain: Variant and seed.
        settings: Data and length.
        step: ``all``; ``again``, the same under another seed; ``few``, on 500 words, the same in
            every run.
        checkpoint: Pretrained encoder; None for random weights.
    """
    cfg = Config.fromfile(ROOT / "configs/textrecog/mms_vit_n_ctc_words.py")
    # Labels of SVT are upper case whatever the image shows, so training ignores case.
    cfg.model.decoder.module_loss.letter_case = "lower"
    if checkpoint:
        cfg.model.backbone.init_cfg = dict(type="mms_ocr.PretrainedTextViT", checkpoint=checkpoint)
    words = cfg.train_dataloader.dataset
    words.update(
        path=settings.paths(LABELLED), holdout=dict(share=HELD_OUT, part="train"), indices=None
    )
    # The head reads at most one character a column.
    words.pipeline.insert(0, dict(type="mms_ocr.SkipLongLabels", max_columns=32))
    if step == "few":
        words.indices = draw_few(len(DATASETS.build({**words, "pipeline": []})))
    cfg.train_dataloader.batch_size = BATCH_WORDS
    cfg.optim_wrapper.optimizer.lr = 1e-3
    # Pretrained or not, all layers train alike.
    cfg.optim_wrapper.paramwise_cfg.layer_decay_rate = 1.0
    seed = chain.seed + AGAIN if step == "again" else chain.seed
    return on_one_core(cfg, seed, settings.words // BATCH_WORDS)


def draw_few(num_words: int) -> list[int]:
    """Indices of the few words, the same for all seeds."""
    chosen = np.random.default_rng(0).permutation(num_words)[:NUM_FEW]
    return sorted(chosen.tolist())


def on_one_core(cfg: Config, seed: int, iterations: int) -> Config:
    """Train in one process, without validation; of the checkpoints the last one is kept."""
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False, pin_memory=False)
    cfg.auto_scale_lr = dict(enable=False)
    cfg.randomness = dict(seed=seed)
    cfg.custom_hooks = []
    cfg.default_hooks.checkpoint.pop("save_best", None)
    cfg.default_hooks.checkpoint.update(max_keep_ckpts=1)
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    set_iterations(cfg, iterations)
    return cfg
