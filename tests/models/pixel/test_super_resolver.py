"""TextSuperResolver, its preprocessor and its further losses."""

import math

import cv2
import mmengine
import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement
from tiny_models import shake

from mms_ocr.models.pixel.super_resolver import enlarge, gradient_magnitude
from mms_ocr.registry import MODELS

ARCH = dict(embed_dims=24, num_layers=1, num_heads=3, feedforward_channels=48)


def resolver(img_size=(8, 16), refine_channels=0, **settings):
    return MODELS.build(
        dict(
            type="mms_ocr.TextSuperResolver",
            backbone=dict(type="mms_ocr.TextViT", arch=ARCH, img_size=img_size),
            decoder=dict(
                type="mms_ocr.PixelDecoder",
                decoder_embed_dim=24,
                decoder_depth=1,
                decoder_num_heads=2,
                refine_channels=refine_channels,
            ),
            **settings,
        )
    ).eval()


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return dict(
        inputs=torch.from_numpy(rng.integers(0, 256, (2, 3, 4, 8), np.uint8)),
        gt_img=torch.from_numpy(rng.integers(0, 256, (2, 3, 8, 16), np.uint8)),
        data_samples=[BaseDataElement(metainfo=dict(sample_idx=i)) for i in range(2)],
    )


def bicubic(batch, index):
    """RGB in [0, 1] at twice the size, by OpenCV."""
    bgr = batch["inputs"][index].permute(1, 2, 0).numpy().astype(np.float32)
    large = cv2.resize(bgr[:, :, ::-1], (16, 8), interpolation=cv2.INTER_CUBIC) / 255
    return torch.from_numpy(large).permute(2, 0, 1)


def test_enlarging_is_that_of_opencv(batch):
    images = batch["inputs"].float().flip(1) / 255
    for index, image in enumerate(enlarge(images, (8, 16))):
        torch.testing.assert_close(image, bicubic(batch, index), atol=1e-5, rtol=0)


def test_preprocessing_makes_rgb_normalized_inputs_and_truth_in_one(batch):
    preprocessor = MODELS.build(
        dict(type="mms_ocr.WordPairDataPreprocessor", mean=[10, 20, 30], std=[1, 2, 4])
    )
    data = preprocessor(batch)
    rgb = batch["inputs"].flip(1).float()
    expected = (rgb - torch.tensor([10.0, 20, 30]).view(3, 1, 1)) / torch.tensor([1.0, 2, 4]).view(
        3, 1, 1
    )
    assert torch.equal(data["inputs"], expected)
    assert torch.equal(data["gt_img"], batch["gt_img"].flip(1) / 255)
    assert data["data_samples"] is batch["data_samples"]
    torch.testing.assert_close(preprocessor.unit_range(data["inputs"]), rgb / 255)
    single = preprocessor(dict(inputs=list(batch["inputs"])))
    assert torch.equal(single["inputs"], expected)
    assert single["gt_img"] is None


@pytest.mark.parametrize("refine_channels", [0, 4])
def test_model_starts_from_the_bicubic_image(batch, refine_channels):
    model = resolver(refine_channels=refine_channels)
    model.init_weights()
    samples = model.test_step(batch)
    for index, sample in enumerate(samples):
        expected = bicubic(batch, index).clamp(0, 1)
        torch.testing.assert_close(sample.bicubic_img, expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(sample.pred_img, expected, atol=1e-5, rtol=0)
        assert torch.equal(sample.gt_img, batch["gt_img"][index].flip(0) / 255)
        assert sample.sample_idx == index


@pytest.mark.parametrize("residual", [True, False])
def test_residual_adds_the_input_to_the_output(batch, residual):
    model = resolver(residual=residual)
    torch.nn.init.normal_(model.decoder.pred.weight)
    data = model.data_preprocessor(batch)
    enlarged = enlarge(data["inputs"], (8, 16))
    output = model.decoder(model.backbone(enlarged))
    expected = ((enlarged + output if residual else output) + 1) / 2
    torch.testing.assert_close(model(**data), expected)
    predicted = model.predict(**data)
    assert float(expected.min()) < 0  # else clamping is not tested
    assert float(expected.max()) > 1
    for sample, image in zip(predicted, expected.clamp(0, 1)):
        torch.testing.assert_close(sample.pred_img, image)


@pytest.mark.parametrize("criterion", ["L1", "L2"])
def test_losses_by_hand(batch, criterion):
    gradient = dict(type="mms_ocr.GradientProfileLoss", loss_weight=0.5)
    model = resolver(criterion=criterion, gradient_loss=gradient)
    data = model.data_preprocessor(batch)
    predicted, truth = model(**data), data["gt_img"]
    losses = model(**data, mode="loss")
    difference = predicted - truth
    pixel = difference.abs().mean() if criterion == "L1" else (difference**2).mean()
    assert losses["loss_pixel"].item() == pytest.approx(pixel.item(), rel=1e-6)
    slopes = (slow_magnitude(predicted[0]) - slow_magnitude(truth[0])).abs().mean() + (
        slow_magnitude(predicted[1]) - slow_magnitude(truth[1])
    ).abs().mean()
    assert losses["loss_gradient"].item() == pytest.approx(0.5 * slopes.item() / 2, rel=1e-5)


def test_feature_loss_is_that_of_a_frozen_encoder(batch, tmp_path):
    encoder = shake(MODELS.build(dict(type="mms_ocr.TextViT", arch=ARCH, img_size=(8, 16)))).eval()
    torch.save(dict(state_dict=encoder.state_dict()), tmp_path / "encoder.pth")
    config = dict(type="mms_ocr.TextViT", arch=ARCH, img_size=(8, 16))
    init_cfg = dict(type="mms_ocr.PretrainedTextViT", checkpoint=str(tmp_path / "encoder.pth"))
    plain = resolver()
    model = resolver(
        feature_loss=dict(
            type="mms_ocr.EncoderFeatureLoss",
            encoder=dict(config, init_cfg=init_cfg),
            loss_weight=0.5,
        )
    ).train()
    model.load_state_dict(plain.state_dict())  # the frozen encoder is no part of the model
    assert set(model.state_dict()) == set(plain.state_dict())
    data = model.data_preprocessor(batch)
    losses = model(**data, mode="loss")
    difference = encoder(model(**data) * 2 - 1) - encoder(data["gt_img"] * 2 - 1)
    expected = 0.5 * (difference**2).mean()
    torch.testing.assert_close(losses["loss_feature"], expected, rtol=1e-5, atol=1e-7)
    losses["loss_feature"].backward()
    assert bool(model.decoder.pred.weight.grad.any())
    assert len(list(model.parameters())) == len(list(plain.parameters()))


def test_wrong_encoder_of_the_feature_loss_is_named_before_training():
    checkpoint = dict(type="mms_ocr.PretrainedTextViT", checkpoint="missing.pth")
    encoder = dict(type="mms_ocr.TextViT", arch=ARCH, img_size=(8, 16), init_cfg=checkpoint)
    model = resolver(feature_loss=dict(type="mms_ocr.EncoderFeatureLoss", encoder=encoder))
    with pytest.raises(FileNotFoundError, match="missing"):
        model.init_weights()


def slow_magnitude(image):
    """Gradient magnitude of an image ``(C, H, W)``, pixel by pixel."""
    channels, height, width = image.shape
    out = torch.empty(channels, height, width)
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                right, left = image[c, y, min(x + 1, width - 1)], image[c, y, max(x - 1, 0)]
                below, above = image[c, min(y + 1, height - 1), x], image[c, max(y - 1, 0), x]
                square = ((right - left) / 2) ** 2 + ((below - above) / 2) ** 2
                out[c, y, x] = math.sqrt(square + 1e-6)
    return out


def test_gradient_of_a_ramp_and_of_nothing():
    ramp = torch.arange(6.0).expand(1, 1, 4, 6) * 0.3
    assert torch.allclose(gradient_magnitude(ramp)[..., 1:-1], torch.tensor(0.3), atol=1e-5)
    even = torch.zeros(1, 1, 3, 3, requires_grad=True)
    magnitude = gradient_magnitude(even)
    assert torch.allclose(magnitude, torch.tensor(1e-3))
    magnitude.sum().backward()
    assert torch.equal(even.grad, torch.zeros(1, 1, 3, 3))


def test_a_few_steps_beat_bicubic(batch):
    model = resolver().train()
    model.init_weights()
    data = model.data_preprocessor(batch)
    before = model(**data, mode="loss")["loss_pixel"].item()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        loss = model(**data, mode="loss")["loss_pixel"]
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5 * before
    assert all(
        parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad
    )


def test_settings_of_the_caller_stay_as_they_are():
    decoder = mmengine.ConfigDict(type="mms_ocr.PixelDecoder", decoder_embed_dim=24)
    backbone = mmengine.ConfigDict(type="mms_ocr.TextViT", arch=ARCH, img_size=(8, 16))
    MODELS.build(dict(type="mms_ocr.TextSuperResolver", backbone=backbone, decoder=decoder))
    assert set(decoder) == {"type", "decoder_embed_dim"}
    assert set(backbone) == {"type", "arch", "img_size"}


def test_wrong_settings_raise(batch):
    with pytest.raises(ValueError, match="criterion must be 'L1' or 'L2', got 'L3'"):
        resolver(criterion="L3")
    model = resolver()
    data = model.data_preprocessor(batch)
    with pytest.raises(ValueError, match="mode must be"):
        model(**data, mode="both")
    with pytest.raises(ValueError, match=r"mms_ocr\.PackWordPair"):
        model(data["inputs"], mode="loss")
    with pytest.raises(ValueError, match=r"\(8, 8\) and the encoder's \(8, 16\)"):
        model(data["inputs"], mode="loss", gt_img=data["gt_img"][..., :8])
    images = [torch.zeros(3, 4, 8, dtype=torch.uint8), torch.zeros(3, 4, 6, dtype=torch.uint8)]
    with pytest.raises(ValueError, match="differ in size"):
        model.data_preprocessor(dict(inputs=images))
