"""TextDecoder against MMOCR's NRTRDecoder with the same weights."""

import copy

import pytest
import torch
from word_samples import PaddingFirst, samples

from mms_ocr.models.textrecog.decoding import (
    decoding_step,
    empty_cache,
    greedy_decode,
    word_confidences,
)
from mms_ocr.registry import MODELS

WORDS = ["a", "bad", "cabbage"]


@pytest.fixture
def pair(decoder_config):
    """The two decoders with the same large random weights, so that words differ."""

    def make(end_bias=0.0, **settings):
        theirs = MODELS.build(decoder_config("mmocr.NRTRDecoder", **settings)).eval()
        with torch.no_grad():
            for name, parameter in theirs.named_parameters():
                if parameter.dim() > 1:
                    parameter.copy_(torch.randn_like(parameter) * (1 if "emb" in name else 0.3))
            if theirs.padding_idx is not None:
                theirs.classifier.bias[theirs.padding_idx] += 1
            if theirs.dictionary.end_idx is not None:
                theirs.classifier.bias[theirs.dictionary.end_idx] += end_bias
        ours = MODELS.build(decoder_config(**settings)).eval()
        assert list(ours.state_dict()) == list(theirs.state_dict())
        ours.load_state_dict(theirs.state_dict())
        return theirs, ours

    return make


def up_to_end(probabilities, end_idx):
    """Mark the positions of a word, its end included."""
    ends = (probabilities.argmax(-1) == end_idx).long()
    return ends.cumsum(1) - ends == 0


@pytest.mark.parametrize("ratios", [None, [0.4, 1.0, 0.7]])
def test_training_logits_and_loss_are_nrtr_s(pair, ratios):
    theirs, ours = pair(dropout=0.0)
    ours.mask_padding = ratios is not None
    tokens = torch.randn(3, 10, 16)
    theirs.train(), ours.train()
    expected = theirs(None, tokens, samples(WORDS, ratios))
    torch.testing.assert_close(ours(None, tokens, samples(WORDS, ratios)), expected)
    losses = [decoder.loss(None, tokens, samples(WORDS, ratios)) for decoder in (theirs, ours)]
    torch.testing.assert_close(losses[1], losses[0])
    for loss in losses:
        loss["loss_ce"].mean().backward()
    for (name, first), (_, second) in zip(theirs.named_parameters(), ours.named_parameters()):
        torch.testing.assert_close(second.grad, first.grad, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("end_bias", [-1000.0, 0.0, 2.0, 1000.0])
@pytest.mark.parametrize("ratios", [False, True])
def test_greedy_decoding_equals_nrtr_up_to_the_end_of_words(pair, end_bias, ratios):
    theirs, ours = pair(end_bias)
    ours.mask_padding = ratios
    tokens = torch.randn(24, 10, 16)
    given = samples(["x"] * 24, torch.rand(24).tolist() if ratios else None)
    with torch.no_grad():
        expected, result = theirs(None, tokens, given), ours(None, tokens, given)
    end = ours.dictionary.end_idx
    written = up_to_end(expected, end)
    torch.testing.assert_close(result[written], expected[written], rtol=1e-4, atol=1e-6)
    assert (result[~written][:, end] == 1).all()
    assert (result[~written].sum(-1) == 1).all()
    assert not result.is_inference(), "callers may write into the result"
    lengths = written.sum(1)
    if end_bias == 2.0:
        assert len(lengths.unique()) > 3, "words must end at different steps"
        # A padding token in the middle of a word hides its place from later ones.
        assert (expected[written].argmax(-1) == ours.padding_idx).any()
    if abs(end_bias) == 1000:
        assert (lengths == (1 if end_bias > 0 else ours.max_seq_len)).all()
    texts = [decoder.predict(None, tokens, copy.deepcopy(given)) for decoder in (theirs, ours)]
    for first, second in zip(*texts):
        assert first.pred_text.item == second.pred_text.item
        assert first.pred_text.score == pytest.approx(second.pred_text.score, abs=1e-5)


def test_steps_run_only_for_words_that_have_not_ended(pair, monkeypatch):
    _, ours = pair(2.0)
    rows = []
    from mms_ocr.models.textrecog import decoding

    def counted(weights, tokens, *args):
        rows.append(len(tokens))
        return decoding_step(weights, tokens, *args)

    monkeypatch.setattr(decoding, "decoding_step", counted)
    with torch.no_grad():
        result = ours(None, torch.randn(24, 10, 16))
    written = up_to_end(result, ours.dictionary.end_idx)
    assert len(rows) == written.sum(1).max()
    going = written.sum(0)[: len(rows)]
    assert all(held * decoding.MAX_SHARE_KEPT < n <= held for held, n in zip(rows, going.tolist()))
    assert rows[0] == 24
    assert rows[-1] < 12


def test_without_padding_token_or_end_token(decoder_config):
    """NRTRDecoder cannot run without a padding token; compare with a full pass over each prefix."""
    for tokens in (dict(with_padding=False), dict(with_padding=False, with_end=False)):
        config = decoder_config(tokens=tokens)
        del config["module_loss"]
        ours = MODELS.build(config).eval()
        memory = torch.randn(3, 10, 16)
        with torch.no_grad():
            result = ours(None, memory)
            words = torch.full((3, 1), ours.start_idx)
            for step in range(ours.max_seq_len):
                logits = ours.classifier(ours._attention(words, memory)[:, -1])
                if ours.dictionary.end_idx is None:
                    torch.testing.assert_close(result[:, step], logits.softmax(-1))
                words = torch.cat([words, logits.argmax(-1, keepdim=True)], dim=1)
        end = ours.dictionary.end_idx
        for word, probabilities in zip(words[:, 1:].tolist(), result):
            length = word.index(end) + 1 if end in word else len(word)
            assert probabilities.argmax(-1).tolist()[:length] == word[:length]


def test_a_padding_token_at_index_0_pads(decoder_config):
    config = decoder_config()
    settings = {key: value for key, value in config["dictionary"].items() if key != "type"}
    config["dictionary"] = PaddingFirst(**settings)
    decoder = MODELS.build(config)
    assert decoder.padding_idx == 0
    given = decoder.module_loss.get_targets(samples(["ab"]))
    start = decoder.start_idx
    assert given[0].gt_text.padded_indexes.tolist() == [start, 1, 2, start, 0, 0, 0, 0, 0]
    assert decoder.module_loss.ignore_index == 0


def test_maps_are_read_row_by_row_and_masked_by_columns(pair):
    _, ours = pair()
    feature_map = torch.randn(3, 16, 4, 5)
    tokens = feature_map.flatten(2).transpose(1, 2)
    given = samples(WORDS, [0.4, 1.0, 0.81])
    with torch.no_grad():
        torch.testing.assert_close(ours(feature_map, None, given), ours(None, tokens, given))
        ours.mask_padding = True
        masked = ours(feature_map, None, given)
        for i, columns in enumerate((2, 5, 5)):
            alone = ours(feature_map[i : i + 1, :, :, :columns], None, given[1:2])
            torch.testing.assert_close(masked[i : i + 1], alone)


@pytest.mark.parametrize("width", [16, 24])
def test_columns_are_tokens_of_their_own(decoder_config, width):
    head = dict(
        type="mms_ocr.CTCDecoder",
        pooling="mean",
        module_loss=dict(type="mms_ocr.LocatedCTCLoss"),
    )
    settings = dict(dropout=0.0, auxiliary=head)
    columns = dict(num_rows=4, dropout=0.0)
    decoder = MODELS.build(decoder_config(d_input=width, columns=columns, **settings))
    plain = MODELS.build(decoder_config(**settings))
    weights = decoder.state_dict()
    plain.load_state_dict({k: v for k, v in weights.items() if not k.startswith("columns.")})
    feature_map, spans = torch.randn(3, width, 4, 20), {"bad": [(0.1, 0.2), (0.3, 0.5), (0.6, 0.9)]}
    tokens = decoder.columns(feature_map)
    assert tokens.shape == (3, 20, 16)
    # A map of one row has the same tokens.
    row = tokens.transpose(1, 2).unsqueeze(2)
    losses = decoder.loss(feature_map, None, samples(WORDS, spans=spans))
    expected = plain.loss(row, None, samples(WORDS, spans=spans))
    assert set(losses) == {"loss_ce", "loss_ctc", "loss_location"}
    for name, loss in expected.items():
        torch.testing.assert_close(losses[name], loss, msg=lambda text, n=name: f"{n}: {text}")
    decoder.eval(), plain.eval()
    given = samples(WORDS, [0.4, 1.0, 0.7])
    for decoding in (decoder, plain):
        decoding.mask_padding = True
    with torch.no_grad():
        torch.testing.assert_close(
            decoder(feature_map, None, given), plain(None, tokens, given), rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(1, 20, 16), r"takes a map \(N, C, H, W\), got \(1, 20, 16\)"),
        (torch.zeros(1, 16, 8, 20), "the map has 8 rows and the decoder takes 4"),
        ((torch.zeros(1, 16, 4, 20),), "got a tuple; with out_indices=-1"),
    ],
)
def test_columns_need_a_map_of_their_rows(decoder_config, image, message):
    decoder = MODELS.build(decoder_config(columns=dict(num_rows=4)))
    with pytest.raises(ValueError, match=message):
        decoder(image, None, samples(["a"]))


def test_another_width_is_projected(decoder_config):
    decoder = MODELS.build(decoder_config(d_input=24)).eval()
    feature_map = torch.randn(2, 24, 4, 5)
    tokens = decoder.project(feature_map.flatten(2).transpose(1, 2))
    plain = MODELS.build(decoder_config()).eval()
    plain.load_state_dict(
        {k: v for k, v in decoder.state_dict().items() if not k.startswith("project.")}
    )
    with torch.no_grad():
        torch.testing.assert_close(decoder(feature_map), plain(None, tokens))


def test_word_confidence_is_the_product_up_to_the_end(pair, decoder_config):
    probabilities = torch.tensor([[[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]])
    assert word_confidences(probabilities, 1).item() == pytest.approx(0.9 * 0.8)
    assert word_confidences(probabilities, None).item() == pytest.approx(0.9 * 0.8 * 0.6)
    theirs, _ = pair(2.0)
    ours = MODELS.build(decoder_config(word_confidence=True)).eval()
    ours.load_state_dict(theirs.state_dict())
    tokens = torch.randn(8, 10, 16)
    with torch.no_grad():
        read = ours.predict(None, tokens, samples(["x"] * 8))
        expected = word_confidences(
            theirs(None, tokens, samples(["x"] * 8)), ours.dictionary.end_idx
        )
    confidences = [sample.pred_text.confidence for sample in read]
    assert confidences == pytest.approx(expected.tolist(), rel=1e-4)


def test_decoding_step_can_be_traced(pair):
    """Traced at one step on two words, it is right at another step on five."""
    _, ours = pair()
    weights = ours.requires_grad_(False).step_weights()

    def arguments(words, step):
        memory = torch.randn(words, 10, 16)
        cache = tuple(torch.randn_like(kept) for kept in empty_cache(weights, memory, 9))
        visible = (torch.arange(9) <= step).expand(words, 9)
        return torch.arange(words), torch.tensor([step]), visible, cache, memory

    def step(*args):
        return decoding_step(weights, *args)

    with torch.no_grad():
        traced = torch.jit.trace(step, arguments(2, 3), check_trace=False)
        given = arguments(5, 6)
        expected = step(*copy.deepcopy(given))
        torch.testing.assert_close(traced(*copy.deepcopy(given)), expected)


def test_no_images_give_no_words(pair):
    _, ours = pair()
    weights = ours.step_weights()
    settings = dict(max_length=9, start_idx=8, end_idx=8, padding_idx=9)
    assert greedy_decode(weights, torch.zeros(0, 10, 16), **settings).shape == (0, 9, 10)


def test_the_caller_s_config_is_left_alone(decoder_config):
    config = decoder_config()
    before = copy.deepcopy(config)
    MODELS.build(config)
    assert config == before


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("", r"0\.png: the label is empty"),
        ("abcdefgh", r"0\.png: the label 'abcdefgh' has 8 characters.*room for 7"),
        ("a~é", r"0\.png: the label 'a~é' has characters outside the dictionary: '~' .*'é'"),
        (None, r"0\.png: no label"),
    ],
)
def test_bad_labels_give_one_line(decoder_config, word, message):
    decoder = MODELS.build(decoder_config())
    given = samples([word]) if word is not None else samples(["a"])
    if word is None:
        del given[0].gt_text
    with pytest.raises(ValueError, match=message) as caught:
        decoder.loss(None, torch.randn(1, 10, 16), given)
    assert "\n" not in str(caught.value)


def test_labels_that_just_fit(decoder_config):
    decoder = MODELS.build(decoder_config())
    given = samples(["abcdefg"])
    decoder.loss(None, torch.randn(1, 10, 16), given)
    targets = given[0].gt_text.padded_indexes.tolist()
    assert targets == [8, 0, 1, 2, 3, 4, 5, 6, 8]


def test_an_unknown_token_replaces_other_characters(decoder_config):
    decoder = MODELS.build(decoder_config(tokens=dict(with_unknown=True)))
    given = samples(["a~"])
    decoder.loss(None, torch.randn(1, 10, 16), given)
    assert given[0].gt_text.indexes.tolist() == [0, decoder.dictionary.unknown_idx]
    # Such a dictionary drops them in silence.
    dropping = MODELS.build(decoder_config(tokens=dict(with_unknown=True, unknown_token=None)))
    with pytest.raises(ValueError, match="outside the dictionary"):
        dropping.loss(None, torch.randn(1, 10, 16), samples(["a~"]))


def test_letter_case_is_changed_before_labels_are_checked(decoder_config):
    config = decoder_config()
    config["module_loss"]["letter_case"] = "lower"
    decoder = MODELS.build(config)
    given = samples(["BAD"])
    decoder.loss(None, torch.randn(1, 10, 16), given)
    assert given[0].gt_text.indexes.tolist() == [1, 0, 3]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(n_position=5), "n_position is 5, less than max_seq_len 9"),
        (dict(tokens=dict(with_start=False)), "with_start=True"),
    ],
)
def test_impossible_settings_give_one_line(decoder_config, settings, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(decoder_config(**settings))


def test_widths_that_do_not_fit_give_one_line(decoder_config):
    config = decoder_config()
    config["d_k"] = 4
    with pytest.raises(ValueError, match="must be equal"):
        MODELS.build(config)
    decoder = MODELS.build(decoder_config())
    with pytest.raises(ValueError, match="set d_input=24 on TextDecoder"):
        decoder(torch.randn(2, 24, 4, 5), None, samples(["a", "b"]))
    with pytest.raises(ValueError, match="takes a map"):
        decoder((torch.randn(2, 16, 4, 5),), None, samples(["a", "b"]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("num_words", [1, 12])
def test_half_precision_reads_with_float32_confidence(decoder_config, dtype, num_words):
    """The encoder's last norm gives float32 also under autocast, linear layers do not."""
    torch.manual_seed(0)
    decoder = MODELS.build(decoder_config(word_confidence=True)).eval()
    with torch.no_grad():
        decoder.classifier.bias[2] += 3  # no rounding changes what is read
    tokens, given = torch.randn(num_words, 10, 16), samples(["x"] * num_words)
    with torch.no_grad():
        expected = decoder(None, tokens)
        half = copy.deepcopy(decoder).to(dtype)
        ways = [(half, tokens.to(dtype), False), (decoder, tokens, True)]
        for reader, memory, autocast in [*ways, (decoder, tokens.to(dtype), True)]:
            with torch.autocast("cpu", dtype, enabled=autocast):
                result = reader(None, memory)
                read = reader.predict(None, memory, copy.deepcopy(given))
            assert result.dtype is torch.float32
            torch.testing.assert_close(result.sum(-1), torch.ones_like(result.sum(-1)))
            torch.testing.assert_close(result, expected, rtol=0, atol=0.05)
            confidences = word_confidences(result, decoder.dictionary.end_idx).tolist()
            assert [sample.pred_text.confidence for sample in read] == pytest.approx(confidences)
            assert {sample.pred_text.item for sample in read} == {"c" * 9}


def test_the_loss_is_that_of_the_labels_in_evaluation_mode_too(decoder_config):
    decoder = MODELS.build(decoder_config(dropout=0.0))
    tokens = torch.randn(3, 10, 16)
    expected = decoder.train().loss(None, tokens, samples(WORDS))
    torch.testing.assert_close(decoder.eval().loss(None, tokens, samples(WORDS)), expected)


def test_predict_does_not_use_labels_in_training_mode(pair):
    _, ours = pair(2.0, dropout=0.0)
    tokens = torch.randn(3, 10, 16)
    read = []
    for training, words in ((False, WORDS), (True, WORDS), (True, ["h", "hhh", "gfe"])):
        with torch.no_grad():
            result = ours.train(training).predict(None, tokens, samples(words))
        read.append([sample.pred_text.item for sample in result])
    assert read[0] == read[1] == read[2]
