"""Forms for ONNX Runtime compute what the layers compute."""

import copy

import pytest
import torch
from mmpretrain.models.utils.attention import MultiheadAttention
from tiny_models import shake, tiny_encoder
from torch import nn

from mms_ocr.models.backbones.conv_stem import ConvStem
from mms_ocr.models.onnx_forms import AttentionForm, StemForm, ThreeTaps, use_onnx_forms


@pytest.fixture(autouse=True)
def inference():
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


def test_a_convolution_of_three_columns_is_a_product():
    conv = nn.Conv1d(5, 7, 3, padding=1)
    columns = torch.randn(2, 6, 5)
    torch.testing.assert_close(
        ThreeTaps(conv.weight, conv.bias)(columns), conv(columns.transpose(1, 2)).transpose(1, 2)
    )


@pytest.mark.parametrize(
    "settings", [{}, dict(qkv_bias=False), dict(layer_scale_init_value=0.5)], ids=str
)
def test_attention_is_the_same(settings):
    layer = shake(MultiheadAttention(12, 3, **settings)).eval()
    tokens = torch.randn(2, 9, 12)
    torch.testing.assert_close(AttentionForm(layer)(tokens), layer(tokens))


def test_attention_with_a_scale_of_its_own_is_kept():
    model = nn.Sequential(MultiheadAttention(12, 3, qk_scale=0.1)).eval()
    use_onnx_forms(model)
    assert type(model[0]) is MultiheadAttention


@pytest.mark.parametrize("stem", ["patch", "conv"])
def test_an_encoder_is_the_same_and_its_original_untouched(stem):
    encoder = tiny_encoder(stem=stem).eval()
    for layer in encoder.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    images = torch.randn(2, 3, 16, 32)
    expected = encoder(images)
    exported = copy.deepcopy(encoder)
    use_onnx_forms(exported)
    torch.testing.assert_close(exported(images), expected, atol=1e-4, rtol=1e-4)
    kinds = [type(layer) for layer in exported.modules()]
    assert kinds.count(AttentionForm) == 2
    assert kinds.count(StemForm) == (stem == "conv")
    assert not {MultiheadAttention, ConvStem} & set(kinds)
    assert torch.equal(encoder(images), expected)


@pytest.mark.parametrize("channels", [None, 10])
def test_columns_are_the_same(channels):
    pytest.importorskip("mmocr")
    from mms_ocr.models.textrecog.ctc_decoder import ColumnConv

    columns = shake(ColumnConv(6, 4, channels or 6, dropout=0.1)).eval()
    model = nn.Sequential(copy.deepcopy(columns))
    use_onnx_forms(model)
    assert not any(isinstance(layer, (nn.Conv1d, nn.Conv2d)) for layer in model.modules())
    feature_map = torch.randn(2, 6, 4, 8)
    torch.testing.assert_close(model(feature_map), columns(feature_map), atol=1e-5, rtol=1e-4)
