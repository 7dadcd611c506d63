"""TextSegmentor: truth of every form, masks at the original size, weights from pretraining."""

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, PixelData
from tiny_models import ARCH, shake

from mms_ocr.datasets.transforms import mask_coverage
from mms_ocr.models.pixel.segmentor import label_coverage, resize_logits
from mms_ocr.registry import MODELS

PREPROCESSOR = dict(type="ImgDataPreprocessor", mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True)


def config(**settings):
    defaults = dict(
        type="mms_ocr.TextSegmentor",
        data_preprocessor=PREPROCESSOR,
        backbone=dict(type="mms_ocr.TextViT", arch=ARCH, img_size=(16, 32)),
        decoder=dict(
            type="mms_ocr.PixelDecoder",
            patch_size=8,
            decoder_embed_dim=24,
            decoder_depth=1,
            decoder_num_heads=2,
        ),
    )
    return defaults | settings


def tiny(**settings):
    return shake(MODELS.build(config(**settings)))


def images(count=3):
    return torch.randint(0, 256, (count, 3, 16, 32), dtype=torch.uint8)


def labels(height=64, width=128):
    """Labels of three images, with pixels that do not count."""
    rng = np.random.default_rng(3)
    return rng.choice([0, 1, 255], (3, height, width), p=[0.6, 0.3, 0.1]).astype(np.uint8)


def samples(masks):
    losses = []
    for mask in masks:
        sample = BaseDataElement(metainfo=dict(ori_shape=mask.shape))
        sample.gt_sem_seg = PixelData(data=mask[None])
        losses.append(sample)
    return losses


def test_logits_have_the_decoders_size():
    assert tiny()(torch.randn(2, 3, 16, 32)).shape == (2, 1, 32, 64)
    simple = tiny(decoder=dict(config()["decoder"], patch_size=4))
    assert simple(torch.randn(2, 3, 16, 32)).shape == (2, 1, 16, 32)


def test_label_coverage_by_hand():
    given = torch.tensor([[[1, 0, 255, 255], [1, 1, 255, 0]]])
    coverage, valid = label_coverage(given, (1, 2))
    assert coverage.tolist() == [[[0.75, 0.0]]]
    # A quarter of the right pixel counts, which is too little.
    assert valid.tolist() == [[[1.0, 0.0]]]


def test_logits_are_interpolated_between_the_centers_of_pixels():
    grown = resize_logits(torch.tensor([[[[0.0, 4.0]]]]), (1, 4))
    assert grown.tolist() == [[[[0.0, 1.0, 3.0, 4.0]]]]
    shrunk = resize_logits(torch.tensor([[[[0.0, 0, 8, 8]]]]), (1, 2))
    # Antialiased: a triangle two pixels wide to each side of the new centers.
    weights = np.array([0.75, 0.75, 0.25, 0])
    assert shrunk[0, 0, 0, 0].item() == pytest.approx(8 * 0.25 / weights.sum(), rel=1e-5)


@pytest.mark.parametrize("size", [(5, 1), (40, 1), (1, 1)])
def test_logits_of_narrow_images(size):
    rows = torch.randn(1, 1, 32, 1, generator=torch.Generator().manual_seed(0))
    expected = resize_logits(rows.expand(-1, -1, -1, 2).contiguous(), (size[0], 2))[..., :1]
    shrunk = resize_logits(rows.expand(-1, -1, -1, 128).contiguous(), size)
    torch.testing.assert_close(shrunk, expected)


def test_packed_and_stored_masks_give_equal_losses():
    model, masks = tiny().eval(), labels()
    coverage = torch.from_numpy(np.stack([mask_coverage(mask, (32, 64)) for mask in masks]))
    inputs = model.data_preprocessor(dict(inputs=images()), True)["inputs"]
    packed = model.loss(inputs, gt_coverage=coverage[:, None])
    stored = model.loss(inputs, samples(masks))
    for name in ("loss_ce", "loss_dice"):
        # The packed one counts in steps of 1/240.
        assert packed[name].item() == pytest.approx(stored[name].item(), rel=1e-3)


def test_losses_are_those_of_the_config():
    losses = [dict(type="mms_ocr.MaskSquaredError", weight=2.0)]
    model = tiny(losses=losses).eval()
    inputs = torch.randn(2, 3, 16, 32)
    coverage = torch.randint(0, 241, (2, 1, 32, 64), dtype=torch.uint8)
    (loss,) = model.loss(inputs, gt_coverage=coverage).values()
    expected = 2 * (model(inputs).sigmoid() - coverage / 240).square().mean()
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_masks_are_of_the_original_size(threshold):
    model = tiny(threshold=threshold).eval()
    given = samples([np.zeros((20, 90), np.uint8), np.ones((50, 40), np.uint8)])
    given.append(BaseDataElement())
    batch = dict(inputs=images(), data_samples=given)
    predicted = model.test_step(batch)
    logits = model(model.data_preprocessor(batch)["inputs"]).float()
    for index, size in enumerate([(20, 90), (50, 40), (32, 64)]):
        own = resize_logits(logits[index : index + 1], size)[0]
        torch.testing.assert_close(predicted[index].seg_logits.data, own)
        mask = predicted[index].pred_sem_seg.data
        assert mask.dtype == torch.uint8
        assert torch.equal(mask.bool(), own.sigmoid() >= threshold)
    assert isinstance(predicted[0].gt_sem_seg.data, torch.Tensor)
    assert torch.equal(predicted[1].gt_sem_seg.data, torch.ones(1, 50, 40, dtype=torch.uint8))


def test_overfits_a_few_images():
    torch.manual_seed(0)
    model = MODELS.build(config())
    model.init_weights()
    inputs = torch.zeros(2, 3, 16, 32)
    coverage = torch.zeros(2, 1, 32, 64, dtype=torch.uint8)
    inputs[0, :, 4:12, 6:20] = 1
    coverage[0, :, 8:24, 12:40] = 240
    inputs[1, :, 2:9, 17:30] = -1
    coverage[1, :, 4:18, 34:60] = 240
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        sum(model.loss(inputs, gt_coverage=coverage).values()).backward()
        optimizer.step()
    predicted = model(inputs) > 0
    truth = coverage > 0
    assert (predicted & truth).sum() / (predicted | truth).sum() > 0.97


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(threshold=1.0), r"threshold must lie in \(0, 1\), got 1.0"),
        (dict(losses=[]), "at least one loss"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(config(**settings))


def test_truth_that_is_missing_or_of_another_size():
    model = tiny()
    inputs = torch.randn(2, 3, 16, 32)
    with pytest.raises(ValueError, match=r"end the pipeline with .*PackWordCoverage"):
        model.loss(inputs, [BaseDataElement(), BaseDataElement()])
    with pytest.raises(ValueError, match=r"set size=\(32, 64\) on mms_ocr.PackWordCoverage"):
        model.loss(inputs, gt_coverage=torch.zeros(2, 1, 16, 32, dtype=torch.uint8))
    with pytest.raises(ValueError, match="mode must be"):
        model(inputs, mode="train")
