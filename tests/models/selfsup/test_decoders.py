"""The two decoders, against plain loops and against MMPretrain's."""

import math

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.models.necks import MAEPretrainDecoder
from tiny_models import random_mask, shake

from mms_ocr.models import CrossAttentionDecoder, SelfAttentionDecoder
from mms_ocr.models.backbones.patches import split_mask
from mms_ocr.models.backbones.positions import sincos_positions

GRID = (2, 6)
SIZES = dict(decoder_embed_dim=16, decoder_depth=2, decoder_num_heads=4)


def cross(grid=GRID, **settings):
    return shake(CrossAttentionDecoder(grid, embed_dim=8, patch_size=2, **(SIZES | settings)))


def batch(grid=GRID, removed=8, images=3):
    visible, hidden = split_mask(random_mask(images, grid[0] * grid[1], removed))
    return torch.randn(images, 1 + visible.shape[1], 8), visible, hidden


def slow_attention(block, query, memory):
    """Compute the attention of one query to the memory, head by head and token by token."""
    width = len(query)
    size = width // block.num_heads
    queries = block.query(block.norm1(query))
    keys, values = block.key_value(memory).split(width, dim=-1)
    heads = []
    for head in range(block.num_heads):
        part = slice(head * size, (head + 1) * size)
        scores = torch.stack([queries[part] @ key[part] / math.sqrt(size) for key in keys])
        weights = scores.softmax(dim=0)
        heads.append(sum(weight * value[part] for weight, value in zip(weights, values)))
    query = query + block.proj(torch.cat(heads))
    return query + block.ffn(block.norm2(query))


def test_cross_attention_is_that_of_loops():
    decoder = cross()
    tokens, visible, hidden = batch(images=2)
    pred = decoder(tokens, visible, hidden)
    positions = sincos_positions(GRID, 16)
    for image in range(2):
        memory = [decoder.embed(tokens[image, 0])]
        for token, patch in zip(tokens[image, 1:], visible[image]):
            memory.append(decoder.embed(token) + positions[patch])
        memory = torch.stack([decoder.memory_norm(token) for token in memory])
        for place, patch in enumerate(hidden[image]):
            query = decoder.mask_token[0, 0] + positions[patch]
            for block in decoder.blocks:
                query = slow_attention(block, query, memory)
            expected = decoder.pred(decoder.norm(query))
            assert torch.allclose(pred[image, place], expected, atol=1e-5)


def test_cross_attention_is_that_of_torchs_module():
    block = cross().blocks[0]
    queries, memory = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    attention = torch.nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.cat([block.query.weight, block.key_value.weight]))
        attention.in_proj_bias.copy_(torch.cat([block.query.bias, block.key_value.bias]))
        attention.out_proj.load_state_dict(block.proj.state_dict())
    expected = queries + attention(block.norm1(queries), memory, memory)[0]
    expected = expected + block.ffn(block.norm2(expected))
    assert torch.allclose(block(queries, memory), expected, atol=1e-5)


@pytest.mark.parametrize("kind", [CrossAttentionDecoder, SelfAttentionDecoder])
def test_a_part_is_predicted_as_in_the_whole(kind):
    decoder = shake(kind(GRID, embed_dim=8, patch_size=2, **SIZES))
    decoder.eval()
    tokens, visible, hidden = batch()
    whole = decoder(tokens, visible, hidden)
    chosen = torch.tensor([6, 0, 3]).expand(3, -1)
    part = decoder(tokens, visible, hidden.gather(1, chosen))
    assert torch.allclose(part, whole[:, [6, 0, 3]], atol=1e-5)


def test_self_attention_is_that_of_mmpretrain():
    grid = (4, 4)
    decoder = shake(SelfAttentionDecoder(grid, embed_dim=8, patch_size=2, **SIZES))
    other = MAEPretrainDecoder(num_patches=16, embed_dim=8, patch_size=2, **SIZES)
    other.init_weights()
    assert torch.allclose(decoder.decoder_pos_embed, other.decoder_pos_embed, atol=1e-5)
    other.load_state_dict(decoder.state_dict())
    tokens, visible, hidden = batch(grid, removed=11)
    restore = torch.cat([visible, hidden], dim=1).argsort(dim=1)
    expected = other(tokens, restore).gather(1, hidden[..., None].expand(-1, -1, 12))
    assert torch.allclose(decoder(tokens, visible, hidden), expected, atol=1e-5)


def test_positions_of_rectangles_survive_initialization():
    decoder = SelfAttentionDecoder(GRID, embed_dim=8, patch_size=2, **SIZES)
    decoder.init_weights()
    assert torch.equal(decoder.decoder_pos_embed[0, 1:], sincos_positions(GRID, 16))
    assert (decoder.decoder_pos_embed[0, 0] == 0).all()
    assert not decoder.decoder_pos_embed.requires_grad


@pytest.mark.parametrize("kind", [CrossAttentionDecoder, SelfAttentionDecoder])
def test_mask_token_is_initialized(kind):
    decoder = kind(GRID, embed_dim=8, decoder_embed_dim=512, decoder_depth=1, decoder_num_heads=4)
    decoder.init_weights()
    assert 0.015 < decoder.mask_token.std() < 0.025


@pytest.mark.parametrize("kind", [CrossAttentionDecoder, SelfAttentionDecoder])
def test_every_parameter_has_a_gradient(kind):
    decoder = shake(kind(GRID, embed_dim=8, patch_size=2, **SIZES))
    F.mse_loss(decoder(*batch()), torch.zeros(())).backward()
    for name, parameter in decoder.named_parameters():
        assert parameter.grad is not None or not parameter.requires_grad, name


def test_positions_are_not_stored_twice():
    assert "positions" not in cross().state_dict()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(predict_share=0), r"predict_share must lie in \(0, 1\], got 0"),
        (dict(predict_share=1.5), r"predict_share must lie in \(0, 1\], got 1.5"),
        (dict(decoder_num_heads=3), "3 heads do not divide decoder_embed_dim=16"),
        (dict(decoder_embed_dim=6, decoder_num_heads=2), "multiple of 4 channels, got 6"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        cross(**settings)
