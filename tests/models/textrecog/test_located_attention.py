"""Attention of the autoregressive decoder at known places of characters."""

import math

import pytest
import torch
from word_samples import samples as label

from mms_ocr.models.textrecog.decoder_losses import (
    character_columns,
    located_attention,
    recorded_attention,
)
from mms_ocr.registry import MODELS

SPANS = {"ab": [(0.1, 0.3), (0.5, 0.8)]}


@pytest.fixture
def build(decoder_config):
    def make(**settings):
        torch.manual_seed(0)
        return MODELS.build(decoder_config(dropout=0.0, **settings))

    return make


def test_columns_of_characters():
    words = label(("ab", "gh", "a"), spans={**SPANS, "a": [(-0.5, -0.1)]})
    columns = character_columns(words, 4, 10)
    assert columns[0, 0].nonzero().flatten().tolist() == [1, 2]
    assert columns[0, 1].nonzero().flatten().tolist() == [5, 6, 7]
    # After the word, without places, and outside the image.
    assert not columns[0, 2:].any()
    assert not columns[1:].any()


def test_columns_end_where_the_padding_begins():
    (word,) = label(("ab",), spans=SPANS)
    word.set_metainfo({"valid_ratio": 0.5})
    columns = character_columns([word], 2, 20)
    assert columns[0, 0].nonzero().flatten().tolist() == [1, 2]
    assert columns[0, 1].nonzero().flatten().tolist() == [5, 6, 7]


def test_loss_is_that_of_a_plain_loop():
    attention = torch.randn(2, 3, 4, 2 * 5).softmax(dim=-1)
    columns = torch.rand(2, 4, 5) < 0.4
    columns[0, 3] = False
    terms = []
    for word in range(2):
        for step in range(4):
            if columns[word, step].any():
                share = sum(
                    attention[word, head, step, row * 5 + column].item() / 3
                    for head in range(3)
                    for row in range(2)
                    for column in range(5)
                    if columns[word, step, column]
                )
                terms.append(-math.log(share))
    mean, count = located_attention(attention, columns, 2)
    assert count == len(terms)
    assert mean.item() == pytest.approx(sum(terms) / len(terms), rel=1e-5)


def test_loss_of_a_decoder_is_that_of_its_last_layer(build):
    decoder = build(location_weight=0.25)
    feature_map, words = torch.randn(2, 16, 2, 10), ("ab", "hg")
    with recorded_attention(decoder.layer_stack[1]) as recorded:
        losses = decoder.loss(feature_map, None, label(words, spans=SPANS))
    columns = character_columns(label(words, spans=SPANS), recorded[0].shape[2], 10)
    expected, count = located_attention(recorded[0], columns, 2)
    assert count == 2
    assert recorded[0].shape[1:] == (decoder.layer_stack[0].enc_attn.n_head, 4, 20)
    torch.testing.assert_close(losses["loss_attention"], 0.25 * expected)
    plain = build().loss(feature_map, None, label(words, spans=SPANS))
    assert "loss_attention" not in plain
    torch.testing.assert_close(losses["loss_ce"], plain["loss_ce"])


def test_training_moves_the_attention_to_the_characters(build):
    decoder = build(location_weight=1.0)
    feature_map = torch.randn(1, 16, 2, 10)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=1e-2)
    for _ in range(60):
        loss = decoder.loss(feature_map, None, label(("ab",), spans=SPANS))["loss_attention"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with recorded_attention(decoder.layer_stack[-1]) as recorded:
        decoder.loss(feature_map, None, label(("ab",), spans=SPANS))
    by_column = recorded[0].mean(dim=1).unflatten(-1, (2, 10)).sum(dim=2)[0]
    assert by_column[0, 1:3].sum() > 0.9
    assert by_column[1, 5:8].sum() > 0.9


def test_words_without_places_add_nothing(build):
    decoder = build(location_weight=1.0)
    losses = decoder.loss(torch.randn(2, 16, 2, 10), None, label(("ab", "hg"), spans={}))
    assert losses["loss_attention"] == 0
    sum(loss.sum() for loss in losses.values()).backward()
    assert all(torch.isfinite(weight.grad).all() for weight in decoder.parameters())


def test_tokens_have_no_columns(build):
    losses = build(location_weight=1.0).loss(
        torch.randn(1, 20, 16), None, label(("ab",), spans=SPANS)
    )
    assert "loss_attention" not in losses
    # Tokens of an encoder, of whatever map.
    words, encoded = label(("ab",), spans=SPANS), torch.randn(1, 20, 16)
    losses = build(location_weight=1.0).loss(torch.randn(1, 16, 4, 10), encoded, words)
    assert "loss_attention" not in losses


def test_negative_weight_is_refused(build):
    with pytest.raises(ValueError, match="location_weight must not be negative, got -1"):
        build(location_weight=-1.0)
