from __future__ import annotations

import numpy as np
import pytest
from made_images import encode, word_pixels

from mms_ocr.dataset_tools.survey import describe_survey, draw_surveys, survey_source
from mms_ocr.datasets import open_source

SIZES = [(20, 60), (10, 40), (64, 64), (30, 300), (20, 60)]
LABELS = ["ab a", "", "ßß", "a$b", "xyz", "lost"]


@pytest.fixture
def source(make_source):
    images = [encode(word_pixels(number, *size)) for number, size in enumerate(SIZES)]
    images[4] = images[0]
    return open_source(make_source("lmdb", [*images, b"broken"], LABELS))


def test_survey_by_hand(source):
    survey = survey_source(source)
    assert (survey.count, survey.examined, survey.broken) == (6, 6, 1)
    assert survey.errors[0].endswith("image-000000006: not an image of a known format")
    assert list(zip(survey.heights, survey.widths)) == SIZES
    np.testing.assert_allclose(survey.numbers["width/height"], [3, 4, 1, 10, 3])
    assert survey.label_lengths.tolist() == [4, 0, 2, 3, 3]
    assert survey.characters == dict(a=3, b=2, ß=2, x=1, y=1, z=1) | {" ": 1, "$": 1}
    assert survey.duplicates == 1
    assert survey.examples == [0, 1, 2, 3, 4]


def test_workers_count_the_same(source):
    expected = describe_survey(survey_source(source))
    assert describe_survey(survey_source(source, workers=2)) == expected


def test_a_sample_is_spread_over_the_source(make_source):
    images = [encode(word_pixels(number, 10 + number, 20)) for number in range(21)]
    survey = survey_source(open_source(make_source("lmdb", images)), sample=5)
    assert survey.examined == 5
    assert survey.heights.tolist() == [10, 15, 20, 25, 30]
    assert "5 of them, spread evenly" in describe_survey(survey)


def test_description(source):
    text = describe_survey(survey_source(source))
    assert "words.lmdb: LMDB, 6 images" in text
    assert "broken        1 (16.67%)" in text
    assert "duplicates    1 (20.00%)" in text
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines()}
    assert rows["height"] == ["10", "12", "20", "20", "30", "57", "64"]
    assert rows["width/height"][0] == "1.00"
    assert rows["labels"] == ["1", "of", "them", "are", "empty"]
    assert text.splitlines()[-1].split() == ["abß␣$xyz"]


def test_description_of_unlabelled_and_of_broken_images(make_source):
    unlabelled = open_source(make_source("folder", [encode(word_pixels(0))]))
    assert describe_survey(survey_source(unlabelled)).endswith("labels        none")
    broken = open_source(make_source("lmdb", [b"x"] * 9))
    text = describe_survey(survey_source(broken))
    assert "broken        9 (100.00%)" in text
    assert text.endswith("… and 4 more")


def test_picture(source, make_source, tmp_path):
    others = [
        open_source(make_source("folder", [encode(word_pixels(0))], name="f")),
        open_source(make_source("lmdb", [b"x"], name="b")),
    ]
    sources = [source, *others]
    figure = draw_surveys([survey_source(each) for each in sources], sources)
    figure.savefig(tmp_path / "picture.png")
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:4] == ["height", "width", "width/height", "label length"]
    assert "6 images, 16.67% broken, 1 duplicates" in titles[5]
    heights = sum(patch.get_height() for patch in figure.axes[0].containers[0])
    assert heights == pytest.approx(100)
