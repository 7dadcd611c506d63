"""The CTC loss with known positions of characters."""

import math

import numpy as np
import pytest
import torch
from mmengine.structures import LabelData
from mmocr.structures import TextRecogDataSample

from mms_ocr.models.textrecog.located_ctc_loss import IGNORED_COLUMN as OPEN
from mms_ocr.models.textrecog.located_ctc_loss import column_targets
from mms_ocr.registry import DATASETS, MODELS, TRANSFORMS

BLANK = 9


def test_columns_of_two_characters_a_gap_and_margins():
    # Of 8 columns: "a" from 1 to 3, "b" from 5 to 6.99.
    spans = [(1 / 8, 3 / 8), (5 / 8, 6.99 / 8)]
    expected = [BLANK, OPEN, 1, OPEN, BLANK, 2, OPEN, BLANK]
    assert column_targets(spans, [1, 2], 8, BLANK).tolist() == expected


def test_first_of_several_characters_in_a_column_is_the_target():
    spans = [(0.0, 0.1), (0.1, 0.2), (0.2, 1.0)]
    expected = [1, OPEN, 3, OPEN]
    assert column_targets(spans, [1, 2, 3], 4, BLANK).tolist() == expected


def test_characters_outside_the_image_are_in_its_outer_columns():
    targets = column_targets([(-0.5, 0.1), (0.9, 1.8)], [1, 2], 4, BLANK)
    assert targets.tolist()[::3] == [1, 2]


def test_without_characters_all_columns_are_ignored():
    assert column_targets([], [], 3, BLANK).tolist() == [OPEN] * 3


@pytest.fixture
def loss(dict_file):
    def make(**settings):
        return MODELS.build(
            dict(
                type="mms_ocr.LocatedCTCLoss",
                dictionary=dict(
                    type="mmocr.Dictionary",
                    dict_file=dict_file("abc"),
                    with_padding=True,
                    with_end=True,
                ),
                **settings,
            )
        )

    return make


def sample(text, spans=None, ratio=1.0):
    metainfo = dict(valid_ratio=ratio)
    if spans is not None:
        metainfo["char_spans"] = spans
    return TextRecogDataSample(gt_text=LabelData(item=text), metainfo=metainfo)


def test_value_by_hand_and_words_without_boxes(loss):
    module = loss(location_weight=0.5)
    blank = module.dictionary.padding_idx
    logits = torch.randn(3, 8, module.dictionary.num_classes)
    spans = [(1 / 8, 3 / 8), (5 / 8, 6.99 / 8)]
    # Twice as wide as the second image without its padding.
    words = [sample("ab"), sample("ab", spans, ratio=0.5), sample("ca", spans)]
    losses = module(logits, module.get_targets(words))
    plain = MODELS.build(dict(type="mmocr.CTCModuleLoss", dictionary=module.dictionary))(
        logits, words
    )
    assert torch.equal(losses["loss_ctc"], plain["loss_ctc"])

    a, b, c = (module.dictionary.str2idx(character)[0] for character in "abc")
    logs = logits.log_softmax(-1)
    known = [(2, 0, blank), (2, 2, c), (2, 4, blank), (2, 5, a), (2, 7, blank)]
    # Of half the width: "a" from 0.5 to 1.5, "b" from 2.5 to 3.495.
    known += [(1, 1, a), (1, 2, b)] + [(1, column, blank) for column in (4, 5, 6, 7)]
    by_hand = -sum(logs[place].item() for place in known) / len(known)
    assert losses["loss_location"].item() == pytest.approx(0.5 * by_hand, rel=1e-5)


@pytest.mark.parametrize("spans", [None, [(0, 1)]])
def test_without_all_character_boxes_the_loss_is_ctc(loss, spans):
    module = loss()
    logits = torch.randn(1, 4, module.dictionary.num_classes, requires_grad=True)
    losses = module(logits, module.get_targets([sample("ab", spans)]))
    assert losses["loss_location"].item() == 0
    sum(losses.values()).backward()
    assert torch.isfinite(logits.grad).all()


def test_a_negative_weight_is_refused(loss):
    with pytest.raises(ValueError, match="location_weight must not be negative, got -1"):
        loss(location_weight=-1)


def test_rendered_words_have_character_spans():
    pipeline = [
        dict(type="mms_ocr.ResizeWordImage", size=(32, 128)),
        dict(type="mms_ocr.PackLabelledWord"),
    ]
    words = DATASETS.build(
        dict(
            type="mms_ocr.RenderedWordDataset",
            num_samples=6,
            words=["abc"],
            random_string_share=0.0,
            difficulty=0.0,
            extras=("char_boxes",),
            pipeline=pipeline,
        )
    )
    for index in range(6):
        word, packed = words.render(index), words[index]["data_samples"]
        spans = packed.char_spans
        assert len(spans) == 3
        assert all(0 <= left < right <= 1 for left, right in spans)
        assert [left for left, _ in spans] == sorted(left for left, _ in spans)
        width = word.image.shape[1]
        assert spans[1][0] * width == pytest.approx(float(word.char_boxes[1, 0]), abs=1e-3)
        columns = column_targets(spans, [1, 2, 3], 32, 0).tolist()
        read = [c for c, last in zip(columns, [OPEN, *columns]) if c > 0 and c != last]
        assert read == [1, 2, 3]


def test_warp_drops_character_boxes():
    warp = TRANSFORMS.build(dict(type="mms_ocr.WarpWord"))
    image = np.zeros((32, 128, 3), np.uint8)
    assert "char_boxes" not in warp(dict(img=image, char_boxes=np.zeros((1, 4))))
    still = TRANSFORMS.build(dict(type="mms_ocr.WarpWord", prob=0.0))
    assert "char_boxes" in still(dict(img=image, char_boxes=np.zeros((1, 4))))


def test_it_trains_faster_than_ctc_alone(loss):
    """Each character is a gap and three columns of its own code: a linear layer can read them."""
    rng = torch.Generator().manual_seed(0)
    codes = torch.randn(4, 6, generator=rng)
    words = ["abc", "cab", "bca", "acb", "bac", "cba"]
    spans = [((4 * i + 1) / 12, (4 * i + 3.99) / 12) for i in range(3)]

    def steps_until_read(weight):
        module = loss(location_weight=weight)
        torch.manual_seed(1)
        layer = torch.nn.Linear(6, module.dictionary.num_classes)
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.03)
        batch = module.get_targets([sample(word, spans) for word in words])
        columns = torch.stack(
            [codes[["_abc".index(c) for char in word for c in "_" + 3 * char]] for word in words]
        )
        for step in range(600):
            losses = module(layer(columns), batch)
            if losses["loss_ctc"] < 0.3:
                return step
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
        return math.inf

    with_places, without = steps_until_read(1.0), steps_until_read(0.0)
    assert with_places < without
