"""CTCDecoder against slow, obvious versions of what CTC is."""

import itertools
import math

import pytest
import torch
from tiny_models import shake
from word_samples import PaddingFirst, samples

from mms_ocr.models.textrecog.ctc_decoder import (
    ctc_word_confidences,
    pool_rows,
    read_columns,
    run_confidences,
)
from mms_ocr.models.textrecog.word_decoder import columns_needed
from mms_ocr.registry import MODELS


def config(dictionary, **settings):
    return dict(
        type="mms_ocr.CTCDecoder",
        in_channels=6,
        dictionary=dictionary,
        module_loss=dict(type="mmocr.CTCModuleLoss", reduction="none"),
        postprocessor=dict(type="mmocr.CTCPostProcessor"),
        **settings,
    )


@pytest.fixture
def dictionary(dict_file):
    def make(characters="abc", **settings):
        return dict(
            type="mmocr.Dictionary",
            dict_file=dict_file(characters),
            **{"with_padding": True, **settings},
        )

    return make


@pytest.fixture
def decoder(dictionary):
    """A decoder whose cells and classes all differ."""
    decoder = MODELS.build(config(dictionary()))
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return decoder


def spelled(path, blank):
    """A path without repeats and then without blanks."""
    return tuple(token for token, _ in itertools.groupby(path) if token != blank)


def probability(columns, word, blank):
    """Of a word: the sum over every path of columns that spells it."""
    classes = range(columns.shape[1])
    total = 0.0
    for path in itertools.product(classes, repeat=len(columns)):
        if spelled(path, blank) == tuple(word):
            total += math.prod(columns[i, token].item() for i, token in enumerate(path))
    return total


def test_loss_sums_over_all_alignments(decoder):
    blank = decoder.dictionary.padding_idx
    assert blank == 3
    feature_map = torch.randn(4, 6, 2, 5)
    words = ["a", "abc", "bb", "aac"]
    losses = decoder.train().loss(feature_map, None, samples(words))["loss_ctc"]
    probabilities = decoder.eval()(feature_map)
    for loss, columns, word in zip(losses, probabilities, words):
        expected = probability(columns, ["abc".index(letter) for letter in word], blank)
        assert loss.item() == pytest.approx(-math.log(expected), rel=1e-4)


@pytest.mark.parametrize("blank", [0, 2, 3])
def test_confidences_are_the_probabilities_of_the_words_that_are_read(blank):
    logits = torch.randn(12, 5, 4) * 2
    logits[0, :, blank] += 9  # nothing is read
    probabilities = logits.softmax(dim=-1)
    lengths = [5, 3, 1] * 4
    confidences = ctc_word_confidences(probabilities, blank, lengths).tolist()
    read = set()
    for columns, length, confidence in zip(probabilities, lengths, confidences):
        columns = columns[:length]
        word = read_columns(columns.argmax(-1).tolist(), blank)
        assert tuple(word) == spelled(columns.argmax(-1).tolist(), blank)
        assert confidence == pytest.approx(probability(columns, word, blank), rel=1e-4)
        read.add(len(word))
    assert {0, 1} < read, read


def test_certain_columns_give_certain_words():
    probabilities = torch.zeros(1, 4, 3)
    probabilities[0, range(4), [0, 0, 2, 1]] = 1
    assert read_columns([0, 0, 2, 1], blank=2) == [0, 1]
    assert ctc_word_confidences(probabilities, 2, [4]).item() == pytest.approx(1)


def test_a_character_is_as_probable_as_its_best_column():
    tokens, values = [3, 0, 0, 3, 0, 1, 1, 2], [0.9, 0.4, 0.8, 0.9, 0.6, 0.7, 0.5, 0.3]
    assert run_confidences(tokens, values, {3}) == [0.8, 0.6, 0.7, 0.3]
    assert run_confidences(tokens, values, {3, 1}) == [0.8, 0.6, 0.3]
    assert run_confidences([3, 3], [0.9, 0.9], {3}) == []


def test_predictions_equal_those_of_mmocr_with_confidences(decoder):
    decoder.word_confidence = True
    decoder.eval()
    feature_map = torch.randn(6, 6, 3, 7)
    given = samples(["a"] * 6, [1.0, 0.5, 0.2, 1.0, 0.9, 0.01])
    with torch.no_grad():
        probabilities = decoder(feature_map)
        read = decoder.predict(feature_map, None, given)
    for columns, sample in zip(probabilities, read):
        columns = columns[: math.ceil(7 * sample.valid_ratio)]
        word = spelled(columns.argmax(-1).tolist(), 3)
        assert sample.pred_text.item == "".join("abc"[token] for token in word)
        assert len(sample.pred_text.score) == len(word)
        best, tokens = (values.tolist() for values in columns.max(-1))
        assert sample.pred_text.char_confidences == run_confidences(tokens, best, {3})
        assert len(sample.pred_text.char_confidences) == len(word)
        assert sample.pred_text.confidence == pytest.approx(probability(columns, word, 3), rel=1e-4)


def test_rows_are_weighted_by_their_scores():
    feature_map, scores = torch.randn(2, 6, 3, 5), torch.randn(2, 3, 5)
    pooled = pool_rows(feature_map, scores)
    weights = scores.exp() / scores.exp().sum(dim=1, keepdim=True)
    expected = torch.zeros(2, 5, 6)
    for row in range(3):
        expected += (feature_map[:, :, row] * weights[:, None, row]).transpose(1, 2)
    torch.testing.assert_close(pooled, expected)


def test_attention_starts_as_the_mean_and_trains(dictionary):
    attention = MODELS.build(config(dictionary()))
    mean = MODELS.build(config(dictionary(), pooling="mean"))
    mean.load_state_dict(
        {key: value for key, value in attention.state_dict().items() if "row" not in key}
    )
    feature_map = torch.randn(2, 6, 3, 5)
    torch.testing.assert_close(attention.eval()(feature_map), mean.eval()(feature_map))
    loss = attention.loss(feature_map, None, samples(["ab", "c"]))["loss_ctc"].sum()
    loss.backward()
    assert attention.row_score.weight.grad.abs().sum() > 0


def test_a_blank_at_index_0(dict_file):
    decoder = MODELS.build(config(PaddingFirst(dict_file("abc"), with_padding=True)))
    assert decoder.dictionary.padding_idx == decoder.module_loss.ctc_loss.blank == 0
    assert decoder.dictionary.end_idx is None
    feature_map = torch.randn(1, 6, 2, 4)
    loss = decoder.train().loss(feature_map, None, samples(["cab"]))["loss_ctc"]
    columns = decoder.eval()(feature_map)[0]
    assert loss.item() == pytest.approx(-math.log(probability(columns, [3, 1, 2], 0)), rel=1e-4)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("", r"0\.png: the label is empty"),
        ("abcab", r"0\.png: the label 'abcab' needs 5 columns.*the CTC head has 4"),
        ("aabb", r"0\.png: the label 'aabb' needs 6 columns.*the CTC head has 4"),
        ("a~é", r"0\.png: the label 'a~é' has characters outside the dictionary: '~' .*'é'"),
        (None, r"0\.png: no label"),
    ],
)
def test_bad_labels_give_one_line(decoder, word, message):
    given = samples([word or ""])
    if word is None:
        del given[0].gt_text
    with pytest.raises(ValueError, match=message) as caught:
        decoder.loss(torch.randn(1, 6, 2, 4), None, given)
    assert "\n" not in str(caught.value)


def test_labels_that_just_fit_have_a_finite_loss(dictionary):
    decoder = MODELS.build(config(dictionary(with_unknown=True)))
    words = ["aab", "abca", "~b~"]
    losses = decoder.loss(torch.randn(3, 6, 2, 4), None, samples(words))["loss_ctc"]
    assert torch.isfinite(losses).all()
    # Both are trained as the unknown token, twice the same.
    assert columns_needed(decoder.dictionary.str2idx("~é")) == 3
    with pytest.raises(ValueError, match="'ab~é' needs 5 columns"):
        decoder.loss(torch.randn(1, 6, 2, 4), None, samples(["ab~é"]))


def test_loss_is_computed_in_float32(decoder):
    feature_map = torch.randn(1, 6, 2, 5)
    expected = decoder.loss(feature_map, None, samples(["ab"]))["loss_ctc"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = decoder.loss(feature_map, None, samples(["ab"]))["loss_ctc"]
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(pooling="max"), "pooling must be one of attention, conv, mean, got 'max'"),
        (dict(dictionary=None), "needs a dictionary"),
        (dict(with_padding=False), "with_padding=True"),
    ],
)
def test_impossible_settings_give_one_line(dictionary, settings, message):
    cfg = config(dictionary(with_padding=settings.pop("with_padding", True))) | settings
    with pytest.raises(ValueError, match=message):
        MODELS.build(cfg)


def test_invalid_inputs_raise(decoder):
    for given, message in (
        (torch.randn(1, 10, 6), r"takes a map \(N, C, H, W\), got \(1, 10, 6\)"),
        ((torch.randn(1, 6, 2, 4),), "got a tuple; with out_indices=-1"),
        (torch.randn(1, 8, 2, 4), "set in_channels=8"),
    ):
        with pytest.raises(ValueError, match=message):
            decoder(given, None, samples(["a"]))
    cfg = config(decoder.dictionary)
    given = dict(cfg, module_loss=dict(cfg["module_loss"]))
    MODELS.build(given)
    assert given == cfg


def test_columns_of_convolutions_are_what_sums_of_products_give(dictionary):
    decoder = MODELS.build(config(dictionary(), pooling="conv", num_rows=2, channels=5)).eval()
    feature_map = torch.randn(2, 6, 2, 4)
    conv = decoder.columns
    shake(conv)
    wide = torch.zeros(2, 6, 2, 6)
    wide[..., 1:5] = feature_map
    merged = torch.stack(
        [
            torch.einsum("nchw,ochw->no", wide[..., i : i + 3], conv.merge.weight) + conv.merge.bias
            for i in range(4)
        ],
        dim=1,
    )
    merged = torch.nn.functional.gelu(conv.norm1(merged))
    padded = torch.zeros(2, 6, 5)
    padded[:, 1:5] = merged
    along = torch.stack(
        [
            torch.einsum("nwc,ocw->no", padded[:, i : i + 3], conv.along.weight) + conv.along.bias
            for i in range(4)
        ],
        dim=1,
    )
    added = conv.out(torch.nn.functional.gelu(conv.norm2(along)))
    scores = torch.einsum("nchw,c->nhw", feature_map, conv.row_score.weight.flatten())
    means = torch.zeros(2, 4, 6)
    for row in range(2):
        share = scores[:, row].exp() / scores.exp().sum(1)
        means += (feature_map[:, :, row] * share[:, None]).transpose(1, 2)
    columns = means @ conv.skip.weight.T + conv.skip.bias + added
    expected = decoder.classifier(columns).softmax(-1)
    assert torch.allclose(decoder(feature_map), expected, atol=1e-6)


def test_the_path_past_the_convolutions_is_the_mean_of_the_rows(dictionary):
    conv = MODELS.build(config(dictionary(), pooling="conv", num_rows=2)).eval()
    feature_map = torch.randn(2, 6, 2, 4)
    conv(feature_map).log()[..., 1].sum().backward()
    assert all(value.grad.abs().max() > 0 for value in conv.columns.parameters())
    torch.nn.init.zeros_(conv.columns.out.weight)
    torch.nn.init.zeros_(conv.columns.out.bias)
    mean = feature_map.mean(dim=2).transpose(1, 2)
    assert torch.allclose(conv(feature_map), conv.classifier(mean).softmax(-1), atol=1e-6)


def test_convolutions_need_the_rows_of_the_map(dictionary):
    lacking = config(dictionary(), pooling="conv")
    with pytest.raises(ValueError, match="needs num_rows"):
        MODELS.build(lacking)
    decoder = MODELS.build(config(dictionary(), pooling="conv", num_rows=2)).eval()
    with pytest.raises(ValueError, match="3 rows and the decoder takes 2; set its num_rows=3"):
        decoder(torch.randn(1, 6, 3, 4))
