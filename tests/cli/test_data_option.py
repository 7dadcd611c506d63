"""``--data`` reaches every data set that reads files, in any wrapper, or reports its place."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.dataset import RepeatDataset

from mms_ocr.cli import data_option
from mms_ocr.cli.data_option import check_data, check_ends, check_holdout, set_data
from mms_ocr.cli.launching import fit_to_machine
from mms_ocr.datasets import EndlessSampler, WordImageDataset

WORDS = dict(type="mms_ocr.WordImageDataset", path="old", labelled=True)
PAIRS = dict(type="mms_ocr.WordPairDataset", path="old")
RENDERED = dict(type="mms_ocr.RenderedWordDataset", num_samples=5)
OTHER = dict(type="mmocr.OCRDataset", ann_file="a.json", data_root="old")


def repeated(dataset):
    return dict(type="RepeatDataset", times=3, dataset=dataset)


def joined(*datasets):
    return dict(type="ConcatDataset", datasets=list(datasets))


def config(train, val=WORDS, **loaders):
    parts = dict(train_dataloader=dict(dataset=train), val_dataloader=dict(dataset=val))
    return Config(dict(parts, **loaders))


def paths(settings):
    """All values of ``path`` below a part of a config."""
    if isinstance(settings, dict):
        own = [settings["path"]] if "path" in settings else []
        return own + [path for value in settings.values() for path in paths(value)]
    if isinstance(settings, list | tuple):
        return [path for value in settings for path in paths(value)]
    return []


@pytest.mark.parametrize(
    ("dataset", "count"),
    [
        (WORDS, 1),
        (repeated(WORDS), 1),
        (dict(type=RepeatDataset, times=2, dataset=WORDS), 1),
        (dict(type="ClassBalancedDataset", oversample_thr=0.1, dataset=PAIRS), 1),
        (dict(type="mms_ocr.SeededDataset", seed=1, dataset=WORDS), 1),
        (joined(WORDS, PAIRS), 2),
        (dict(type="mmocr.ConcatDataset", datasets=[WORDS, WORDS], pipeline=[]), 2),
        (dict(type="mms_ocr.MixedDataset", datasets=[RENDERED, WORDS], weights=[1, 1]), 1),
        (joined(repeated(joined(WORDS, repeated(WORDS))), WORDS), 3),
        (dict(type="ConcatDataset", datasets=(WORDS, WORDS)), 2),
    ],
)
def test_every_wrapper_is_reached(dataset, count):
    cfg = config(dataset)
    set_data(cfg, ["new"])
    assert paths(cfg.train_dataloader.to_dict()) == [["new"]] * count
    assert paths(cfg.val_dataloader.to_dict()) == [["new"]]


def test_every_loader_of_a_list_is_reached():
    loaders = [dict(dataset=WORDS, num_workers=0, persistent_workers=True), dict(dataset=PAIRS)]
    cfg = config(RENDERED, val_dataloader=loaders, launcher="none")
    set_data(cfg, ["new"])
    assert paths(cfg.to_dict()) == [["new"], ["new"]]
    fit_to_machine(cfg)
    assert not cfg.val_dataloader[0].persistent_workers
    with pytest.raises(FileNotFoundError, match="no data at 'old'"):
        check_data(config(RENDERED, val_dataloader=loaders), ("val",))


@pytest.mark.parametrize(
    ("dataset", "place"),
    [
        (OTHER, r"train_dataloader\.dataset"),
        (joined(WORDS, OTHER), r"train_dataloader\.dataset\.datasets\.1"),
        (repeated(OTHER), r"train_dataloader\.dataset\.dataset"),
    ],
)
def test_unreachable_data_sets_are_named(dataset, place):
    with pytest.raises(ValueError, match=rf"does not reach {place} of .*: OCRDataset has no path"):
        set_data(config(dataset), ["new"])


def test_unused_loaders_may_read_other_data():
    cfg = config(repeated(WORDS), test_dataloader=dict(dataset=OTHER))
    set_data(cfg, ["new"], parts=("train", "val"))
    assert paths(cfg.train_dataloader.to_dict()) == [["new"]]
    with pytest.raises(ValueError, match=r"does not reach test_dataloader\.dataset"):
        set_data(cfg, ["new"], parts=("test",))


def test_missing_data_inside_wrappers_are_found():
    with pytest.raises(FileNotFoundError, match="no data at 'old'"):
        check_data(config(joined(RENDERED, repeated(WORDS))), ("train",))


def test_test_sets_are_not_changed_for_training():
    cfg = config(RENDERED, val=RENDERED, test_dataloader=dict(dataset=WORDS))
    with pytest.raises(ValueError, match="reads no files"):
        set_data(cfg, ["new"], parts=("train", "val"))


@pytest.mark.parametrize("part", ["val", "test"])
@pytest.mark.parametrize("sampler", ["mms_ocr.EndlessSampler", "InfiniteSampler", EndlessSampler])
def test_a_validation_without_end_is_refused(part, sampler):
    cfg = Config({f"{part}_dataloader": dict(sampler=dict(type=sampler))})
    with pytest.raises(ValueError, match=f"{part}_dataloader.sampler is .*DefaultSampler"):
        check_ends(cfg)


TRAIN, VAL = dict(share=0.2, part="train"), dict(share=0.2, part="val")


@pytest.mark.parametrize(
    ("train", "val", "apart"),
    [
        (TRAIN, VAL, True),
        (TRAIN, dict(VAL, share=0.1), True),
        (None, None, True),  # nothing is held out: so it was meant
        (TRAIN, dict(VAL, share=0.4), False),
        (TRAIN, dict(VAL, seed=1), False),
        (None, VAL, False),
        (VAL, VAL, False),
        (TRAIN, TRAIN, False),
    ],
)
def test_validation_on_training_words_is_reported(monkeypatch, train, val, apart):
    warnings = []
    monkeypatch.setattr(data_option, "warn", warnings.append)
    check_holdout(config(repeated(dict(WORDS, holdout=train)), val=dict(WORDS, holdout=val)))
    check_holdout(config(dict(WORDS, path="another"), val=dict(WORDS, holdout=val)))
    assert len(warnings) == (0 if apart else 1)
    if warnings:
        assert (
            "val_dataloader.dataset validates on words that train_dataloader.dataset" in warnings[0]
        )


@pytest.mark.parametrize("holdout", [dict(share=0.4), dict(part="val"), dict(VAL, share_=1)])
def test_invalid_holdout_raises(word_images, holdout):
    folder = str(Path(word_images(2)[0]).parent)
    with pytest.raises(ValueError, match="holdout takes share, part and seed, got"):
        WordImageDataset(folder, pipeline=[], holdout=holdout)
