"""Foreground scores against pixel-by-pixel counting."""

import math

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement, PixelData

from mms_ocr.evaluation import ForegroundMetric, count_foreground, foreground_scores
from mms_ocr.registry import METRICS


def masks(count=7, seed=0):
    """Predictions and truths of several sizes; one truth without text, one with nothing found."""
    rng = np.random.default_rng(seed)
    pairs = []
    for index in range(count):
        shape = (int(rng.integers(3, 9)), int(rng.integers(5, 20)))
        truth = rng.choice([0, 1, 255], shape, p=[0.6, 0.3, 0.1]).astype(np.uint8)
        prediction = rng.integers(0, 2, shape).astype(np.uint8)
        pairs.append((prediction * (index != 4), np.where(truth == 1, index != 2, truth)))
    return pairs


def slow_counts(prediction, truth):
    both = wrong = missed = 0
    for y in range(truth.shape[0]):
        for x in range(truth.shape[1]):
            if truth[y, x] == 255:
                continue
            both += prediction[y, x] == 1 and truth[y, x] == 1
            wrong += prediction[y, x] == 1 and truth[y, x] == 0
            missed += prediction[y, x] == 0 and truth[y, x] == 1
    return both, wrong, missed


def slow_scores(pairs):
    counts = [slow_counts(*pair) for pair in pairs]
    both, wrong, missed = (sum(column) for column in zip(*counts))
    with_text = [count for count in counts if count[0] + count[2]]
    without = [count for count in counts if not count[0] + count[2]]
    precision, recall = both / (both + wrong), both / (both + missed)
    image_scores = [(a / (a + b + c), 2 * a / (2 * a + b + c)) for a, b, c in with_text]
    return {
        "iou_dataset": both / (both + wrong + missed),
        "precision_dataset": precision,
        "recall_dataset": recall,
        "f_score_dataset": 2 * precision * recall / (precision + recall),
        "iou_image_mean": sum(iou for iou, _ in image_scores) / len(with_text),
        "f_score_image_mean": sum(f for _, f in image_scores) / len(with_text),
        "images": len(pairs),
        "images_without_text": len(without),
        "clean_without_text": sum(not wrong for _, wrong, _ in without) / len(without),
    }


@pytest.mark.parametrize("seed", range(4))
def test_counts(seed):
    for prediction, truth in masks(seed=seed):
        assert count_foreground(prediction, truth) == slow_counts(prediction, truth)


@pytest.mark.parametrize("seed", range(4))
def test_scores(seed):
    pairs = masks(seed=seed)
    scores = foreground_scores(count_foreground(*pair) for pair in pairs)
    assert scores == pytest.approx(slow_scores(pairs))


def test_scores_by_hand():
    # (right, wrong, missed) pixels: of two images with text, and of two without.
    scores = foreground_scores([(1, 1, 1), (6, 0, 0), (0, 2, 0), (0, 0, 0)])
    assert scores == pytest.approx(
        {
            "iou_dataset": 7 / 11,
            "precision_dataset": 7 / 10,
            "recall_dataset": 7 / 8,
            "f_score_dataset": 14 / 18,
            "iou_image_mean": (1 / 3 + 1) / 2,
            "f_score_image_mean": (1 / 2 + 1) / 2,
            "images": 4,
            "images_without_text": 2,
            "clean_without_text": 1 / 2,
        }
    )


def test_columns_without_text_do_not_count():
    """IoU is of the image, not the mean of its columns, in which empty ones would count as 1."""
    truth = np.zeros((4, 100), np.uint8)
    truth[:, :2] = 1
    prediction = np.zeros_like(truth)
    prediction[:, 0] = 1
    assert foreground_scores([count_foreground(prediction, truth)])["iou_dataset"] == 0.5


def test_scores_without_text_are_nan():
    scores = foreground_scores([(0, 0, 0)])
    assert scores.pop("clean_without_text") == 1
    assert (scores.pop("images"), scores.pop("images_without_text")) == (1, 1)
    assert all(math.isnan(value) for value in scores.values())
    nothing_found = foreground_scores([(0, 0, 3)])
    assert math.isnan(nothing_found["precision_dataset"])
    assert nothing_found["recall_dataset"] == nothing_found["iou_dataset"] == 0
    assert "clean_without_text" not in nothing_found


def samples(pairs, to_data):
    scores = []
    for prediction, truth in pairs:
        sample = BaseDataElement()
        sample.pred_sem_seg = PixelData(data=to_data(prediction[None]))
        sample.gt_sem_seg = PixelData(data=to_data(truth[None]))
        scores.append(sample)
    return scores


@pytest.mark.parametrize("to_data", [torch.from_numpy, np.asarray])
def test_batches_add_up(to_data):
    pairs = masks()
    evaluator = Evaluator(METRICS.build(dict(type="mms_ocr.ForegroundMetric")))
    for batch in (pairs[:3], pairs[3:]):
        evaluator.process(samples(batch, to_data), None)
    expected = {f"foreground/{name}": value for name, value in slow_scores(pairs).items()}
    assert evaluator.evaluate(len(pairs)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("prediction", "truth", "lines"),
    [
        (0, 1, ["precision of 2 images cannot be computed (nan): none of the predicted masks has"]),
        (1, 0, ["recall of 2 images cannot be computed (nan): none of the true masks has text"]),
        (0, 0, ["recall of 2 images", "precision of 2 images"]),
        (1, 1, []),
    ],
)
def test_log_gives_the_reason_of_nan(prediction, truth, lines, capsys):
    masks = [(np.full((2, 3), prediction), np.full((2, 3), truth))] * 2
    metric = ForegroundMetric()
    metric.process(None, [sample.to_dict() for sample in samples(masks, np.asarray)])
    scores = metric.evaluate(2)
    reports = [
        line for line in capsys.readouterr().out.splitlines() if "cannot be computed" in line
    ]
    assert len(reports) == len(lines)
    assert all(expected in line for expected, line in zip(lines, reports))
    assert math.isnan(scores["foreground/iou_dataset"]) == (not prediction and not truth)


def test_processes_may_share_images_in_any_way():
    """Processes exchange counts of images, so order and shares do not matter."""
    pairs = masks()
    parts = [ForegroundMetric(), ForegroundMetric()]
    for rank, metric in enumerate(parts):
        metric.process(None, [sample.to_dict() for sample in samples(pairs[rank::2], np.asarray)])
    collected = parts[1].results + parts[0].results
    assert parts[0].compute_metrics(collected) == pytest.approx(slow_scores(pairs))


def test_images_that_cannot_be_compared():
    with pytest.raises(ValueError, match=r"predicted mask is \(2, 3\) and the true one \(2, 4\)"):
        count_foreground(np.zeros((2, 3)), np.zeros((2, 4)))
    sample = BaseDataElement(metainfo=dict(img_path="a.png"))
    sample.pred_sem_seg = PixelData(data=np.zeros((1, 2, 3)))
    with pytest.raises(ValueError, match=r"a.png has no true mask; .*PackWordMask"):
        ForegroundMetric().process(None, [sample.to_dict()])
