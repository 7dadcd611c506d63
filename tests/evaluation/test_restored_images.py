"""PSNR and SSIM as metrics: means by hand, TextZoom's batches, subsets, and several processes."""

import math

import pytest
import torch

from mms_ocr.evaluation import PSNR, SSIM
from mms_ocr.evaluation.restored_images import ssim, ssim_zero_padded
from mms_ocr.registry import METRICS

# Uniform differences, so that squared errors are known: .01, .04, .0025, .09, .0004.
DIFFERENCES = [0.1, 0.2, 0.05, 0.3, 0.02]
ERRORS = [difference**2 for difference in DIFFERENCES]


def decibels(error):
    return -10 * math.log10(error)


def make_samples(subsets=None):
    samples = []
    for index, difference in enumerate(DIFFERENCES):
        truth = torch.rand(3, 12, 16, generator=torch.Generator().manual_seed(index)) / 2
        sample = dict(sample_idx=index, gt_img=truth, pred_img=truth + difference)
        sample["bicubic_img"] = truth + 2 * difference
        if subsets:
            sample["subset"] = subsets[index]
        samples.append(sample)
    return samples


def evaluate(metric, samples, loader_batch=2):
    for start in range(0, len(samples), loader_batch):
        metric.process(None, samples[start : start + loader_batch])
    return metric.evaluate(len(samples))


def test_psnr_per_image_and_per_batch():
    metrics = evaluate(PSNR(batch_size=2), make_samples())
    each = [decibels(error) for error in ERRORS]
    assert metrics["PSNR"] == pytest.approx(sum(each) / 5, abs=1e-4)
    # TextZoom's: PSNR of the error of a whole batch, the last one smaller and of the same weight.
    batches = [
        decibels((ERRORS[0] + ERRORS[1]) / 2),
        decibels((ERRORS[2] + ERRORS[3]) / 2),
        decibels(ERRORS[4]),
    ]
    assert metrics["PSNR_batch"] == pytest.approx(sum(batches) / 3, abs=1e-4)
    single = evaluate(PSNR(batch_size=5), make_samples())
    assert single["PSNR_batch"] == pytest.approx(decibels(sum(ERRORS) / 5), abs=1e-4)
    assert single["PSNR_batch"] < single["PSNR"]


@pytest.mark.parametrize("kind", [PSNR, SSIM])
def test_results_do_not_depend_on_batches_and_order(kind):
    expected = evaluate(kind(batch_size=3), make_samples())
    for loader_batch in (1, 5):
        assert evaluate(kind(batch_size=3), make_samples(), loader_batch) == pytest.approx(expected)
    # As two processes share five images, and gather what they measured: one after the other.
    shuffled = [make_samples()[index] for index in (4, 0, 2, 1, 3)]
    assert evaluate(kind(batch_size=3), shuffled) == pytest.approx(expected)
    assert evaluate(kind(batch_size=2), make_samples()) != pytest.approx(expected)


def test_ssim_is_a_mean_of_images_and_of_batches():
    samples = make_samples()
    metrics = evaluate(SSIM(batch_size=4), samples)
    each = [ssim(sample["pred_img"], sample["gt_img"]) for sample in samples]
    assert metrics["SSIM"] == pytest.approx(sum(each) / 5)
    padded = [
        float(ssim_zero_padded(sample["pred_img"][None], sample["gt_img"][None]))
        for sample in samples
    ]
    assert metrics["SSIM_batch"] == pytest.approx((sum(padded[:4]) / 4 + padded[4]) / 2)


def test_subsets_beside_the_whole():
    subsets = ["easy", "hard", "easy", "hard", "hard"]
    metrics = evaluate(PSNR(batch_size=2), make_samples(subsets))
    easy = [decibels(ERRORS[index]) for index in (0, 2)]
    assert metrics["easy/PSNR"] == pytest.approx(sum(easy) / 2, abs=1e-4)
    hard = [decibels((ERRORS[1] + ERRORS[3]) / 2), decibels(ERRORS[4])]
    assert metrics["hard/PSNR_batch"] == pytest.approx(sum(hard) / 2, abs=1e-4)
    whole = evaluate(PSNR(batch_size=2), make_samples())
    assert {name: metrics[name] for name in whole} == pytest.approx(whole)
    assert set(metrics) == {*whole, *(f"{s}/{name}" for s in ("easy", "hard") for name in whole)}


def test_other_fields_under_a_prefix():
    metric = METRICS.build(dict(type="mms_ocr.PSNR", pred_key="bicubic_img", prefix="bicubic"))
    metrics = evaluate(metric, make_samples())
    each = [decibels(4 * error) for error in ERRORS]
    assert metrics["bicubic/PSNR"] == pytest.approx(sum(each) / 5, abs=1e-4)


def test_an_image_equal_to_its_truth_counts_as_100(capsys):
    samples = make_samples()
    samples[1]["pred_img"] = samples[1]["gt_img"]
    metrics = evaluate(PSNR(batch_size=5), samples)
    assert "1 of 5 images equal their truth and count as 100 dB" in capsys.readouterr().out
    each = [decibels(error) for error in ERRORS]
    each[1] = 100
    assert metrics["PSNR"] == pytest.approx(sum(each) / 5, abs=1e-4)
    errors = [*ERRORS[:1], 0, *ERRORS[2:]]
    assert metrics["PSNR_batch"] == pytest.approx(decibels(sum(errors) / 5), abs=1e-4)


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        PSNR(batch_size=0)
    (sample, *_) = make_samples()
    with pytest.raises(ValueError, match="a sample has no pred_img"):
        PSNR().process(None, [{key: sample[key] for key in ("gt_img", "sample_idx")}])
    sample["pred_img"] = sample["pred_img"][:, :6]
    with pytest.raises(ValueError, match=r"image 0: pred_img is \(3, 6, 16\) and gt_img"):
        PSNR().process(None, [sample])
