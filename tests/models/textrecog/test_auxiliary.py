"""A CTC head that trains beside TextDecoder, and is not there when words are read."""

import copy

import pytest
import torch
from word_samples import samples as label

from mms_ocr.models.textrecog import decoder_losses
from mms_ocr.registry import MODELS

LOSS = dict(type="mms_ocr.LocatedCTCLoss", location_weight=0.5)


def samples(*words):
    return label(words, spans={"ab": [(0.1, 0.3), (0.5, 0.8)]})


@pytest.fixture
def build(decoder_config):
    def make(**settings):
        torch.manual_seed(0)
        head = dict(type="mms_ocr.CTCDecoder", module_loss=LOSS, **settings)
        return MODELS.build(decoder_config(dropout=0.0, auxiliary=head))

    return make


def alone(decoder, decoder_config):
    """The two heads of a decoder as decoders of their own."""
    plain = MODELS.build(decoder_config(dropout=0.0))
    plain.load_state_dict(
        {k: v for k, v in decoder.state_dict().items() if not k.startswith("auxiliary.")}
    )
    config = decoder_config()
    head = MODELS.build(
        dict(
            type="mms_ocr.CTCDecoder",
            in_channels=16,
            dictionary=config["dictionary"],
            module_loss=LOSS,
        )
    )
    head.load_state_dict(decoder.auxiliary.state_dict())
    return plain, head


def test_losses_and_gradients_are_those_of_the_two_heads(build, decoder_config):
    decoder = build(loss_weight=0.25)
    plain, head = alone(decoder, decoder_config)
    feature_map, words = torch.randn(3, 16, 2, 10), ("ab", "hg", "ccc")
    maps = [feature_map.clone().requires_grad_() for _ in range(3)]
    losses = decoder.loss(maps[0], None, samples(*words))
    expected = plain.loss(maps[1], None, samples(*words))
    of_head = head.loss(maps[2], None, samples(*words))
    expected |= {name: 0.25 * loss for name, loss in of_head.items()}
    assert losses.keys() == {"loss_ce", "loss_ctc", "loss_location"}
    assert of_head["loss_location"] > 0
    for name, loss in expected.items():
        torch.testing.assert_close(losses[name], loss)
    torch.stack([loss.mean() for loss in losses.values()]).sum().backward()
    torch.stack([loss.mean() for loss in expected.values()]).sum().backward()
    torch.testing.assert_close(maps[0].grad, maps[1].grad + maps[2].grad)


def test_words_are_read_without_it(build, decoder_config):
    decoder = build().eval()
    plain = alone(decoder, decoder_config)[0].eval()
    decoder.auxiliary.forward = None  # not callable
    feature_map = torch.randn(3, 16, 2, 10)
    with torch.no_grad():
        read = [d.predict(feature_map, None, samples("a", "b", "c")) for d in (decoder, plain)]
    assert [s.pred_text.item for s in read[0]] == [s.pred_text.item for s in read[1]]


def test_words_too_long_for_ctc_train_the_decoder_only(build):
    """Three columns spell two equal characters, and no three of them."""
    decoder, feature_map = build(), torch.randn(3, 16, 2, 3)
    words = ("ab", "ccc", "dd")
    losses = decoder.loss(feature_map, None, samples(*words))
    kept = decoder.loss(feature_map[[0, 2]], None, samples("ab", "dd"))
    every = build().loss(feature_map, None, samples("ab", "c", "dd"))
    for name in ("loss_ctc", "loss_location"):
        torch.testing.assert_close(losses[name], kept[name])
        assert losses[name].isfinite()
    assert losses["loss_ctc"] != every["loss_ctc"]
    losses = decoder.loss(feature_map[:1], None, samples("ccc"))
    assert losses["loss_ctc"] == 0
    decoder.zero_grad()
    losses["loss_ctc"].backward()  # DDP asks for a gradient of every weight
    assert all((p.grad == 0).all() for p in decoder.auxiliary.parameters())


def test_processes_average_to_the_mean_over_all_words(build, monkeypatch):
    decoder, feature_map = build(), torch.randn(3, 16, 2, 3)
    plain = decoder.loss(feature_map, None, samples("ab", "ccc", "dd"))
    calls = []

    def scale_mean(mean, count):
        calls.append((mean.item(), count.item()))
        return mean * 0.5

    monkeypatch.setattr(decoder_losses, "scale_mean", scale_mean)
    scaled = decoder.loss(feature_map, None, samples("ab", "ccc", "dd"))
    torch.testing.assert_close(scaled["loss_ctc"], plain["loss_ctc"] * 0.5)
    decoder.loss(feature_map[:1], None, samples("ccc"))
    assert calls == [(1, 2), (1, 0)], "every process asks once, whatever its words"


@pytest.mark.parametrize(
    "head",
    [
        dict(type="mms_ocr.CTCDecoder"),
        dict(
            type="mmocr.CRNNDecoder", in_channels=16, module_loss=dict(type="mmocr.CTCModuleLoss")
        ),
    ],
)
def test_invalid_auxiliary_heads_raise(decoder_config, head):
    config = decoder_config(auxiliary=head)
    before = copy.deepcopy(config)
    with pytest.raises(ValueError, match=head["type"]):
        MODELS.build(config)
    assert config == before


def test_a_dictionary_without_blank(decoder_config):
    head = dict(type="mms_ocr.CTCDecoder", module_loss=LOSS)
    config = decoder_config(auxiliary=head, tokens=dict(with_padding=False))
    config["module_loss"] = None
    with pytest.raises(ValueError, match="with_padding=True"):
        MODELS.build(config)
