"""The pixel decoder against a slow version of itself."""

import math

import pytest
import torch
import torch.nn.functional as F
from tiny_models import shake

from mms_ocr.models.backbones.positions import sincos_positions
from mms_ocr.registry import MODELS


def build(**settings):
    defaults = dict(
        type="mms_ocr.PixelDecoder",
        embed_dim=24,
        out_channels=2,
        grid=(2, 5),
        decoder_embed_dim=16,
        decoder_depth=2,
        decoder_num_heads=2,
        ffn_ratio=3,
    )
    return MODELS.build(defaults | settings)


def slow_norm(vector, norm):
    centered = vector - vector.mean()
    return centered / ((centered**2).mean() + 1e-6).sqrt() * norm.weight + norm.bias


def slow_block(tokens, block, heads):
    """Compute a pre-norm block on tokens ``(L, D)``, head by head, token by token."""
    length, dim = tokens.shape
    width = dim // heads
    normed = torch.stack([slow_norm(token, block.ln1) for token in tokens])
    query, key, value = (block.attn.qkv(normed)[:, i * dim : (i + 1) * dim] for i in range(3))
    attended = torch.zeros(length, dim)
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        for i in range(length):
            scores = torch.stack([query[i, part] @ key[j, part] for j in range(length)])
            weights = (scores / math.sqrt(width)).softmax(0)
            attended[i, part] = sum(weights[j] * value[j, part] for j in range(length))
    tokens = tokens + block.attn.proj(attended)
    normed = torch.stack([slow_norm(token, block.ln2) for token in tokens])
    hidden, out = block.ffn.layers[0][0], block.ffn.layers[1]
    return tokens + out(F.gelu(hidden(normed)))


def slow_decoder(decoder, feature_map, patch_size, channels, heads):
    count, _, rows, columns = feature_map.shape
    image = torch.zeros(count, channels, rows * patch_size, columns * patch_size)
    for n in range(count):
        tokens = torch.stack(
            [decoder.embed(feature_map[n, :, r, c]) for r in range(rows) for c in range(columns)]
        )
        if decoder.with_positions:
            tokens = tokens + sincos_positions((rows, columns), tokens.shape[1])
        for block in decoder.blocks:
            tokens = slow_block(tokens, block, heads)
        for place, token in enumerate(tokens):
            values = decoder.pred(slow_norm(token, decoder.norm))
            r, c = divmod(place, columns)
            for y in range(patch_size):
                for x in range(patch_size):
                    for channel in range(channels):
                        value = values[(y * patch_size + x) * channels + channel]
                        image[n, channel, r * patch_size + y, c * patch_size + x] = value
    return image


@torch.no_grad()
@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        (dict(), (2, 5)),
        (dict(with_positions=False), (2, 5)),
        (dict(decoder_embed_dim=24, decoder_num_heads=3), (2, 5)),
        (dict(out_channels=1, patch_size=2), (2, 5)),
        (dict(), (3, 2)),
    ],
)
def test_output_equals_a_slow_decoder(settings, shape):
    decoder = shake(build(**settings)).eval()
    feature_map = torch.randn(2, 24, *shape)
    patch_size, channels = settings.get("patch_size", 4), settings.get("out_channels", 2)
    expected = slow_decoder(
        decoder, feature_map, patch_size, channels, settings.get("decoder_num_heads", 2)
    )
    torch.testing.assert_close(decoder(feature_map), expected, rtol=1e-4, atol=1e-5)


def slow_convolution(image, convolution):
    """3x3 convolution of one image ``(C, H, W)``, pixel by pixel, zeros outside."""
    _, height, width = image.shape
    out = convolution.bias[:, None, None].repeat(1, height, width)
    for y in range(height):
        for x in range(width):
            for dy in range(-1, 2):
                for dx in range(-1, 2):
                    if 0 <= y + dy < height and 0 <= x + dx < width:
                        weight = convolution.weight[:, :, dy + 1, dx + 1]
                        out[:, y, x] += weight @ image[:, y + dy, x + dx]
    return out


@torch.no_grad()
def test_refined_values():
    decoder = shake(build(refine_channels=6, refine_scale=2, patch_size=(8, 4))).eval()
    feature_map, images = torch.randn(1, 24, 2, 5), torch.randn(1, 3, 8, 10)
    assert decoder.pred.out_features == 8 * 4 * 2  # eight values of every pixel of 8x10
    joined = torch.empty(11, 8, 10)
    tokens = torch.stack([decoder.embed(cell) for cell in feature_map[0].flatten(1).T])
    tokens = tokens + sincos_positions((2, 5), 16)
    for block in decoder.blocks:
        tokens = slow_block(tokens, block, 2)
    for place, token in enumerate(tokens):
        values = decoder.pred(slow_norm(token, decoder.norm)).view(4, 2, 8)
        r, c = divmod(place, 5)
        joined[:8, r * 4 : r * 4 + 4, c * 2 : c * 2 + 2] = values.permute(2, 0, 1)
    joined[8:] = images[0]
    first, _, second, _, third, _ = decoder.refine
    coarse = F.gelu(slow_convolution(F.gelu(slow_convolution(joined, first)), second))
    coarse = slow_convolution(coarse, third)
    expected = torch.empty(2, 16, 20)
    for y in range(16):
        for x in range(20):
            for channel in range(2):
                place = channel * 4 + (y % 2) * 2 + x % 2
                expected[channel, y, x] = coarse[place, y // 2, x // 2]
    refined = decoder(feature_map, images)
    torch.testing.assert_close(refined[0], expected, rtol=1e-4, atol=1e-4)
    # Images of another size are resized first: here to the mean of four equal pixels.
    larger = images.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(decoder(feature_map, larger), refined)


def test_refining_needs_the_images_and_a_scale_that_divides():
    decoder = build(refine_channels=4)
    with pytest.raises(ValueError, match="needs the images"):
        decoder(torch.randn(1, 24, 2, 5))
    with pytest.raises(ValueError, match="refine_scale=3"):
        build(refine_channels=4, refine_scale=3)


def test_equal_widths_need_no_layer_between():
    names = {name.split(".")[0] for name, _ in build(embed_dim=16).named_parameters()}
    assert names == {"blocks", "norm", "pred"}
    assert "embed" in {name.split(".")[0] for name, _ in build().named_parameters()}


def test_positions_are_not_stored():
    assert not [name for name in build().state_dict() if "positions" in name]


def test_the_defaults_are_those_of_ccd():
    with torch.device("meta"):
        decoder = MODELS.build(dict(type="mms_ocr.PixelDecoder", embed_dim=384, out_channels=3))
    assert len(decoder.blocks) == 3
    assert decoder.blocks[0].attn.num_heads == 2
    assert decoder.blocks[0].embed_dims == 384
    assert decoder.pred.out_features == 48


def test_initialization():
    decoder = build(embed_dim=512, decoder_embed_dim=256, decoder_num_heads=2)
    decoder.init_weights()
    assert decoder.embed.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert decoder.pred.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert not bool(decoder.pred.bias.any())


def test_heads_that_do_not_divide_the_width():
    with pytest.raises(ValueError, match="3 heads do not divide decoder_embed_dim=16"):
        build(decoder_num_heads=3)
