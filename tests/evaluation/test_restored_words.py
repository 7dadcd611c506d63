"""Word accuracy on low, restored and high resolution, with a recognizer that reads colors."""

import pytest
import torch
from mmengine.structures import LabelData

from mms_ocr.registry import METRICS

pytest.importorskip("mmocr")

from mms_ocr.evaluation import restored_words
from mms_ocr.evaluation.restored_words import RestoredWordAccuracy, read_words

WORDS = {0: "Dark", 64: "gray", 255: "light!"}


class ColorReader(torch.nn.Module):
    """Reads the word that the blue of an image encodes; records its inputs."""

    def test_step(self, data):
        self.given = data["inputs"]
        for image, sample in zip(data["inputs"], data["data_samples"]):
            sample.pred_text = LabelData(item=WORDS[int(image[0].float().mean())])
        return data["data_samples"]


def image(blue):
    """RGB in [0, 1] with this much blue."""
    planes = torch.zeros(3, 4, 8)
    planes[2] = blue / 255
    return planes


@pytest.fixture
def metric(monkeypatch):
    monkeypatch.setattr(restored_words, "_load", lambda config, weights: ColorReader())
    recognizer = dict(config="reader.py", weights="reader.pth")
    return METRICS.build(
        dict(type="mms_ocr.RestoredWordAccuracy", recognizer=recognizer, device="cpu")
    )


def sample(text, low, restored, high, **others):
    return dict(
        text=text, bicubic_img=image(low), pred_img=image(restored), gt_img=image(high), **others
    )


def test_a_recognizer_is_given_bgr_in_8_bits():
    reader = ColorReader()
    assert read_words(reader, [image(64), image(255)]) == ["gray", "light!"]
    assert reader.given[0].dtype == torch.uint8
    assert reader.given[0].shape == (3, 4, 8)
    assert reader.given[0].float().mean(dim=(1, 2)).tolist() == [64, 0, 0]


def test_accuracy_of_all_three_by_every_protocol(metric):
    metric.process(
        None,
        [
            sample("DARK", 255, 0, 0),
            sample("Gray", 0, 0, 64),
            sample("light", 0, 255, 255),
            sample("light!", 255, 255, 255),
        ],
    )
    metrics = metric.evaluate(4)
    expected = {
        "LR/word_acc": 1 / 4,
        "SR/word_acc": 1 / 4,
        "HR/word_acc": 1 / 4,
        "LR/word_acc_ignore_case": 1 / 4,
        "SR/word_acc_ignore_case": 2 / 4,
        "HR/word_acc_ignore_case": 3 / 4,
        "LR/word_acc_ignore_case_symbol": 1 / 4,
        "SR/word_acc_ignore_case_symbol": 3 / 4,
        "HR/word_acc_ignore_case_symbol": 4 / 4,
        # Where SR has the word and LR has not, and the reverse.
        "gained/word_acc": 0 / 4,
        "lost/word_acc": 0 / 4,
        "gained/word_acc_ignore_case": 1 / 4,
        "lost/word_acc_ignore_case": 0 / 4,
        "gained/word_acc_ignore_case_symbol": 2 / 4,
        "lost/word_acc_ignore_case_symbol": 0 / 4,
    }
    assert metrics == pytest.approx(expected)


def test_words_that_are_gained_and_lost(metric):
    metric.process(None, [sample("gray", 64, 0, 64), sample("dark", 255, 0, 0)])
    metrics = metric.evaluate(2)
    assert metrics["LR/word_acc_ignore_case"] == metrics["SR/word_acc_ignore_case"] == 0.5
    assert metrics["gained/word_acc_ignore_case"] == metrics["lost/word_acc_ignore_case"] == 0.5


def test_subsets_beside_the_whole(metric):
    metric.process(None, [sample("gray", 64, 64, 64, subset="easy")])
    metric.process(None, [sample("gray", 0, 0, 64, subset="hard")])
    metrics = metric.evaluate(2)
    assert metrics["SR/word_acc"] == 0.5
    assert metrics["easy/SR/word_acc"] == 1
    assert metrics["hard/SR/word_acc"] == 0
    assert metrics["hard/HR/word_acc"] == 1


def test_words_without_labels_raise(metric):
    unlabelled = sample("gray", 0, 0, 0)
    del unlabelled["text"]
    with pytest.raises(ValueError, match="needs text in every sample: set labelled=True"):
        metric.process(None, [unlabelled])


def test_a_wrong_recognizer_is_named(tmp_path):
    with pytest.raises(ValueError, match="recognizer is dict"):
        RestoredWordAccuracy(dict(config="reader.py"))
    missing = str(tmp_path / "reader.py")
    with pytest.raises(FileNotFoundError, match=f"no config {missing}"):
        RestoredWordAccuracy(dict(config=missing, weights="reader.pth"))
