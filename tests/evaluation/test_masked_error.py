"""The masked error by hand."""

import pytest
from mmengine.structures import BaseDataElement

from mms_ocr.evaluation import MaskedError
from mms_ocr.registry import METRICS


def samples(*errors):
    elements = []
    for random_patch, span in errors:
        element = BaseDataElement()
        element.masked_error = {"random_patch": random_patch, "span": span}
        elements.append(element.to_dict())
    return elements


def test_mean_over_images_whatever_the_batches():
    metric = METRICS.build(dict(type="mms_ocr.MaskedError"))
    metric.process({}, samples((1.0, 2.0), (3.0, 4.0)))
    metric.process({}, samples((5.0, 9.0)))
    results = metric.evaluate(3)
    assert results == {
        "masked_error/random_patch": pytest.approx(3.0),
        "masked_error/span": pytest.approx(5.0),
        "masked_error/mean": pytest.approx(4.0),
    }


def test_padding_of_the_last_batch_is_left_out():
    metric = MaskedError()
    metric.process({}, samples((1.0, 2.0), (3.0, 4.0), (100.0, 100.0)))
    assert metric.evaluate(2)["masked_error/mean"] == pytest.approx(2.5)
