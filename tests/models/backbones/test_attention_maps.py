"""Attention maps, against the formula computed slowly."""

import pytest
import torch
from tiny_models import tiny_encoder

from mms_ocr.models.backbones.attention_maps import attention_maps, attention_rollout


def slow_maps(encoder, images):
    """Softmax of Q K^T / sqrt(d), layer by layer, token by token."""
    patches = encoder.patch_embed(images)[0] + encoder.pos_embed[:, 1:]
    first = (encoder.cls_token + encoder.pos_embed[:, :1]).expand(len(images), -1, -1)
    tokens = torch.cat([first, patches], dim=1)
    maps = []
    for layer in encoder.layers:
        attention = layer.attn
        normalized = layer.ln1(tokens)
        width, heads = attention.embed_dims, attention.num_heads
        size = width // heads
        weight, bias = attention.qkv.weight, attention.qkv.bias
        query = normalized @ weight[:width].T + bias[:width]
        key = normalized @ weight[width : 2 * width].T + bias[width : 2 * width]
        by_head = []
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            scores = query[..., part] @ key[..., part].transpose(1, 2) / size**0.5
            by_head.append(scores.exp() / scores.exp().sum(dim=-1, keepdim=True))
        maps.append(torch.stack(by_head, dim=1))
        tokens = layer(tokens)
    return torch.stack(maps)


@pytest.mark.parametrize("stem", ["patch", "conv"])
def test_maps_are_the_softmax_of_queries_and_keys(stem):
    torch.manual_seed(0)
    encoder = tiny_encoder(stem=stem).eval()
    images = torch.randn(2, 3, 16, 32)
    before = encoder(images)
    maps = attention_maps(encoder, images)
    assert maps.shape == (2, 2, 3, 33, 33)
    torch.testing.assert_close(maps, slow_maps(encoder, images).detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(maps.sum(dim=-1), torch.ones(2, 2, 3, 33))
    assert not any(layer.attn.qkv._forward_hooks for layer in encoder.layers)
    assert torch.equal(encoder(images), before)


def test_rollout_multiplies_the_layers_from_the_input():
    # Token 1 attends to token 0 in the first layer; in the second, every token to token 1.
    first = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    second = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    maps = torch.stack([first, second])[:, None, None].expand(-1, 1, 3, -1, -1)
    # By hand: [[.5, .5], [0, 1]] @ [[1, 0], [.5, .5]].
    expected = torch.tensor([[[0.75, 0.25], [0.5, 0.5]]])
    torch.testing.assert_close(attention_rollout(maps), expected)
