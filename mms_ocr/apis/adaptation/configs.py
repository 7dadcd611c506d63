"""Configs of an adaptation, which are written to its folder for the user to run and change."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path

from mms_ocr.rendering import FontCollection
from mms_ocr.rendering.shaping import needs_shaping
from mms_ocr.utils.files import atomic_write
from mms_ocr.utils.reader_folder import READER_CONFIG

#: Names of the trainings and of the bundled reader, which are those of their configs.
PRETRAIN, FINETUNE, PLAIN, BUNDLED = "pretrain", "finetune", "finetune_plain", "bundled"
#: Images of a step on one device.
BATCH = {PRETRAIN: 128, FINETUNE: 64}
#: Validations of a training; test words that each of them reads at most.
VALIDATIONS = 5
VALIDATED = 500


@dataclass(frozen=True)
class Start:
    """What an adaptation starts from."""

    encoder: str  # a pretraining run: mms_ocr://NAME or a file
    config: str  # its bundled config, such as mms/pretrain_vit_n.py
    reader: str | None  # the recognizer that was trained from it, if it is bundled
    arch: str  # of the encoder

    @property
    def reader_config(self) -> str:
        """Bundled config of a recognizer with this encoder."""
        return _READER_CONFIG if self.reader else f"textrecog/mms_vit_{self.arch[0]}_ctc_words.py"

    @property
    def decoder(self) -> str:
        """Settings of its decoder; bundled readers have no auxiliary head."""
        return "dictionary=dictionary" + ", auxiliary=None" * bool(self.reader)


@dataclass(frozen=True)
class Training:
    """Settings of a training that depend on the machine and the time."""

    iterations: int  # of the schedule
    stop: int  # iterations that are run: fewer where the other training was stopped
    save_interval: int  # iterations between checkpoints
    workers: int  # loader workers of a process


# Nano encoders take larger steps than wider ones.
_RATES = {PRETRAIN: {"nano": 1e-3}, FINETUNE: {"nano": 6e-4}}
_WIDE_RATES = {PRETRAIN: 3e-4, FINETUNE: 2e-4}

_SCHEDULE = """\
# The learning rate is for one device, and grows with their number.
optim_wrapper = dict(optimizer=dict(lr={rate}){more})
auto_scale_lr = dict(enable=True, base_batch_size={batch})
max_iters = {iterations}
warmup = {warmup}
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=warmup),
    dict(
        type="CosineAnnealingLR",
        T_max=max_iters - warmup,
        by_epoch=False,
        begin=warmup,
        end=max_iters,
    ),
]
train_cfg = dict(max_iters={stop}, val_interval={val_interval})
default_hooks = dict(
    checkpoint=dict(interval={save_interval}, max_keep_ckpts=1, save_best=None),
    logger=dict(interval={log_interval}),
)
"""

_PRETRAIN = """\
# Masked pretraining on your crops. Paths are relative to this folder.
_base_ = "mms_ocr::{base}"

load_from = {start}
crops = dict(
    type="mms_ocr.WordImageDataset", path=["data/unlabelled.lmdb", "data/labelled.lmdb"]
)
held_out = dict(share={share}, seed=0)
train_dataloader = dict(
    batch_size={batch},
    num_workers={workers},
    dataset=dict(
        _delete_=True,
        **crops,
        holdout=dict(part="train", **held_out),
        pipeline=_base_.train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size={batch},
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        _delete_=True,
        **crops,
        holdout=dict(part="val", **held_out),
        indices=512,
        pipeline=_base_.val_pipeline,
    ),
)
test_dataloader = val_dataloader
{schedule}custom_hooks = []
"""

_FINETUNE = """\
# Fine-tuning on your labelled words and as many rendered ones. Paths are relative to this folder.
_base_ = ["mms_ocr::{base}", "mms_ocr::_base_/ema.py"]

dictionary = dict(dict_file="{{{{ fileDirname }}}}/characters.txt")
model = dict(
{init}    decoder=dict({decoder}),
)

rendered = dict(
    type="mms_ocr.RenderedWordDataset",
    num_samples=1_000_000,
    extras=("char_boxes",),
    pipeline=_base_.pipeline,
)
datasets = [
    dict(
        type="mms_ocr.WordImageDataset",
        path="data/labelled.lmdb",
        labelled=True,
        # The encoder has 32 columns.
        pipeline=[dict(type="mms_ocr.SkipLongLabels", max_columns=32), *_base_.train_pipeline],
    ),
    dict(seed=0, **rendered),{own_words}
]
train_dataloader = dict(
    batch_size={batch},
    num_workers={workers},
    dataset=dict(_delete_=True, type="mms_ocr.MixedDataset", datasets=datasets, weights={weights}),
)
# The test part, which only draws the curve: the last checkpoint is used, not the best one.
val_dataloader = dict(
    batch_size=128,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        _delete_=True,
        type="mms_ocr.WordImageDataset",
        path="data/test.lmdb",
        labelled=True,
        indices={validated},
        pipeline=_base_.pipeline,
    ),
)
test_dataloader = val_dataloader
{schedule}"""

_OWN_TEXTS = "data/drawn_words.txt"
_FROM_ENCODER = """\
    backbone=dict(
        init_cfg=dict(type="mms_ocr.PretrainedTextViT", checkpoint={checkpoint}),
    ),
"""
_FROM_READER = """\
    init_cfg=dict(
        type="mms_ocr.PretrainedRecognizer",
        checkpoint={reader},
        new_characters=True,{shift}
    ),
"""
# Share of what pretraining changed that the encoder of the reader takes over.
_SCALE = 0.3
_SHIFT = """
        # A share of what pretraining on your crops changed in the encoder.
        shift=dict(before={before}, after={after}, scale={scale}),"""
# The texts of your labels, in other fonts.
_OWN_WORDS = """
    dict(seed=1, words="data/drawn_words.txt", random_string_share=0.0, **rendered),"""

_DICTIONARY = """\
dictionary = dict(dict_file="{{{{ fileDirname }}}}/characters.txt")
model = dict(decoder=dict({decoder}))
"""
#: The reader that others are compared with.
READER = "mms_ocr://mms_vit_n_ar"
_READER_CONFIG = "textrecog/mms_vit_n_ar_words.py"
_HELD_OUT = 0.02  # of the crops, in masked pretraining
# Labelled words, rendered ones, and rendered ones with the texts of the labels.
_WEIGHTS = [2, 1, 1]
_LONGEST = 32


def write_config(
    folder: Path, name: str, start: Start, training: Training, pretrained: str | None = None
) -> None:
    """Write the config of a training; ``pretrained`` is the checkpoint of masked pretraining."""
    kind = PRETRAIN if name == PRETRAIN else FINETUNE
    shared = dict(
        batch=BATCH[kind],
        workers=training.workers,
        schedule=_SCHEDULE.format(
            rate=_RATES[kind].get(start.arch, _WIDE_RATES[kind]),
            more=", paramwise_cfg=dict(layer_decay_rate=0.85)" if kind == FINETUNE else "",
            batch=BATCH[kind],
            iterations=training.iterations,
            stop="max_iters" if training.stop == training.iterations else training.stop,
            warmup=max(1, training.iterations // 10),
            val_interval=ceil(training.iterations / VALIDATIONS),
            save_interval=training.save_interval,
            log_interval=max(1, min(50, training.iterations // 20)),
        ),
    )
    if kind == PRETRAIN:
        text = _PRETRAIN.format(
            start=_quoted(start.encoder), base=start.config, share=_HELD_OUT, **shared
        )
    else:
        own = _drawable_words(folder)
        atomic_write(folder / _OWN_TEXTS, "".join(f"{word}\n" for word in own))
        text = _FINETUNE.format(
            base=start.reader_config,
            init=_initialization(start, pretrained),
            decoder=start.decoder,
            own_words=_OWN_WORDS if own else "",
            weights=_WEIGHTS if own else [1, 1],
            validated=VALIDATED,
            **shared,
        )
    atomic_write(folder / f"{name}.py", text)


def write_bundled(folder: Path) -> None:
    """Write the config of the bundled reader."""
    text = f'# The bundled reader, for comparison.\n_base_ = "mms_ocr::{_READER_CONFIG}"\n'
    atomic_write(folder / f"{BUNDLED}.py", text)


def write_reader_config(folder: Path, start: Start, name: str) -> None:
    """Write ``reader.py``, the config of the bundled reader or of one that was trained."""
    base = _READER_CONFIG if name == BUNDLED else start.reader_config
    text = f'# The reader of this folder.\n_base_ = "mms_ocr::{base}"\n'
    if name != BUNDLED:
        text += f"\n{_DICTIONARY.format(decoder=start.decoder)}"
    atomic_write(folder / READER_CONFIG, text)


def _initialization(start: Start, pretrained: str | None) -> str:
    """Return the settings that load the weights of a recognizer before its fine-tuning."""
    if start.reader is None:
        return _FROM_ENCODER.format(checkpoint=_quoted(pretrained or start.encoder))
    shift = ""
    if pretrained:
        before, after = _quoted(start.encoder), _quoted(pretrained)
        shift = _SHIFT.format(before=before, after=after, scale=_SCALE)
    return _FROM_READER.format(reader=_quoted(start.reader), shift=shift)


def _quoted(path: str) -> str:
    """Return a path, of any characters, as a string of Python."""
    text = repr(path)
    return f'"{path}"' if text == f"'{path}'" and '"' not in path else text


def _drawable_words(folder: Path) -> list[str]:
    """Return the texts of the labels that a bundled font can draw."""
    fonts = _bundled_fonts()
    words = (folder / "data" / "words.txt").read_text(encoding="utf-8").split("\n")
    return [
        word
        for word in words
        if 0 < len(word) <= _LONGEST and fonts.able(word) and not any(map(needs_shaping, word))
    ]


@cache
def _bundled_fonts() -> FontCollection:
    return FontCollection()
