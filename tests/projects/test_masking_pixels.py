"""Segmentors and upscalers of the study of masking."""

import numpy as np
import pytest
import torch

from mms_ocr.registry import DATASETS, FUNCTIONS, METRICS, MODELS


@pytest.mark.parametrize("task", ["segmentation", "upscaling"])
def test_pixel_models_differ_in_the_encoder_only(study, task):
    settings = study.plan.Settings("/data", "/words.lmdb", 96, 32, 9, 1.0, "/fonts", 6400)
    configure = getattr(study.pixels, f"{task}_config")
    plain, pretrained = (
        configure(study.plan.Chain(*names), settings, checkpoint)
        for *names, checkpoint in (("none", 1, None), ("mixed", 1, "/encoder.pth"))
    )
    assert pretrained.model.backbone.pop("init_cfg") == {
        "type": "mms_ocr.PretrainedTextViT",
        "checkpoint": "/encoder.pth",
    }
    assert plain.model.backbone.get("init_cfg") is None
    plain.model.backbone.pop("init_cfg", None)
    assert plain.to_dict() == pretrained.to_dict()
    assert plain.train_cfg.max_iters == 100
    assert plain.randomness.seed == 1
    rendered, real = sorted(
        plain.train_dataloader.dataset.datasets, key=lambda each: "Rendered" not in each.type
    )
    assert (rendered.fonts, rendered.font_part, rendered.seed) == ("/fonts", "train", 0)
    assert all(path.startswith("/data/") for path in real.path)


@pytest.mark.parametrize("is_light", [True, False])
def test_otsu_treats_the_smaller_side_as_text(study, is_light):
    truth = np.zeros((20, 40), np.uint8)
    truth[5:15, 8:20] = 1
    gray = np.where(truth == is_light, 200, 30).astype(np.uint8)
    image = np.repeat(gray[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(study.pixels.otsu_mask(image), truth)


def test_iou_is_that_of_all_pixels(study):
    counts = [(10, 0, 0), (0, 5, 5)] * 50
    estimate = study.pixels.estimate_iou(counts)
    assert estimate["value"] == pytest.approx(0.5)
    # IoU is p where p is the share of images of the first kind: a binomial of 100.
    assert estimate["se"] == pytest.approx(0.05, rel=0.1)
    assert study.pixels.estimate_iou([(10, 5, 5)] * 9) == {"value": 0.5, "se": 0.0}


def untrained_result(study, shared_data, folder, task, measure):
    """Measure an untrained model of a task; return its config, itself, and the result."""
    settings = study.plan.Settings(str(shared_data), "/words.lmdb", 96, 32, 9, 0.01, None, 64)
    configure = getattr(study.pixels, f"{task}_config")
    cfg = configure(study.plan.Chain("none", 0), settings, None)
    model = MODELS.build(cfg.model).eval()
    torch.save({"state_dict": model.state_dict()}, folder / "model.pth")
    return cfg, model, getattr(study.pixels, measure)(cfg, folder / "model.pth", settings)


def score(metric, model, cfg, words):
    """Score a model by a registered metric, in other batches than the study."""
    dataset, metric = DATASETS.build({**words, "pipeline": cfg.val_pipeline}), METRICS.build(metric)
    collate = FUNCTIONS.get(cfg.train_dataloader.collate_fn.type)
    for start in range(0, len(dataset), 16):
        items = [dataset[index] for index in range(start, min(start + 16, len(dataset)))]
        metric.process(None, [each.to_dict() for each in model.test_step(collate(items))])
    return metric.evaluate(len(dataset))


def test_masks_are_measured_as_by_the_metric(study, shared_data, tmp_path):
    cfg, model, result = untrained_result(
        study, shared_data, tmp_path, "segmentation", "measure_masks"
    )
    words = dict(type="mms_ocr.WordMaskDataset", path=f"{shared_data}/dibco/test.jsonl")
    scores = score(dict(type="mms_ocr.ForegroundMetric"), model, cfg, words)
    iou = scores["foreground/iou_dataset"]
    assert result["documents"]["value"] == pytest.approx(iou, rel=1e-3)
    assert 0.6 < result["documents, Otsu"]["value"] < 0.9
    assert set(result) == {
        f"{name}{which}" for name in study.tables.SEGMENTATION for which in ("", ", Otsu")
    }


def test_restored_words_are_measured_as_by_the_metrics(study, shared_data, tmp_path):
    cfg, model, result = untrained_result(
        study, shared_data, tmp_path, "upscaling", "measure_restored"
    )
    words = dict(
        type="mms_ocr.WordImageDataset",
        path=f"{shared_data}/iiit5k/test.jsonl",
        labelled=True,
        holdout=dict(share=0.01, part="val"),
    )
    for name in ("PSNR", "SSIM"):
        value = score(dict(type=f"mms_ocr.{name}"), model, cfg, words)[name]
        assert result[name]["value"] == pytest.approx(value, rel=1e-3)
        assert result[f"bicubic {name}"]["value"] != result[name]["value"]
    reader = dict(type="mms_ocr.RestoredWordAccuracy", recognizer=study.pixels.READER)
    shares = score(reader, model, cfg, words)
    for prefix, kind in (("", "SR"), ("bicubic ", "LR"), ("true ", "HR")):
        share = shares[f"{kind}/word_acc_ignore_case_symbol"]
        assert result[f"{prefix}words"]["value"] == pytest.approx(share)


def test_tables_of_pixels_have_their_units(study, settings, tmp_path, capsys):
    study.steps.check_settings(tmp_path, settings)
    for variant, more in (("none", 0), ("mixed", 0.01)):
        masks = {"unseen fonts": 0.7 + more, "documents": 0.75}
        otsu = {"unseen fonts, Otsu": 0.6, "documents, Otsu": 0.8}
        study.write_result(tmp_path, f"{variant}_seed0", "segmentation", **masks, **otsu)
        restored = {"PSNR": 24.5 + more, "SSIM": 0.84 + more, "words": 0.7 + more}
        others = {"bicubic PSNR": 22.5, "bicubic SSIM": 0.75, "bicubic words": 0.69}
        others["true words"] = 0.8
        study.write_result(tmp_path, f"{variant}_seed0", "upscaling", **restored, **others)
    options = ["--work-dir", str(tmp_path), "--table", "--only", "none", "mixed"]
    assert study.study.study(study.study.parse_args(options)) == 0
    printed = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.split("\n")]
    assert ["no pretraining", "0", "70.0 ± 2.0*", "75.0 ± 2.0*"] in rows
    assert ["no pretraining", "0", "24.50 ± 0.02*", "0.8400 ± 0.0196*", "70.0 ± 2.0*"] in rows
    # Differences to no pretraining.
    gains = ["1.0 ± 2.8*", "0.0 ± 2.8*", "0.01 ± 0.03*", "0.0100 ± 0.0277*", "1.0 ± 2.8*"]
    assert ["mixed, one ratio", *gains] in rows
    assert "Otsu's threshold gives 60.0% in unseen fonts and 80.0% on documents." in printed
    assert "gives 22.50 dB and an SSIM of 0.7500, and 69.0% of the words are read" in printed
