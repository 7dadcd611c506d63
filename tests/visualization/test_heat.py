import numpy as np
import pytest

from mms_ocr.visualization import draw_heat


def test_the_largest_value_is_brightest_and_patches_keep_their_places():
    picture = np.full((8, 16, 3), 100, np.uint8)
    drawn = draw_heat(picture, np.array([[0.0, 0.1, 0.2, 0.4], [0.0, 0.0, 0.0, 0.0]]))
    assert drawn.shape == picture.shape
    cells = drawn.reshape(2, 4, 4, 4, 3)
    assert (cells == cells[:, :1, :, :1]).all()  # one color a patch
    brightness = cells[:, 0, :, 0].sum(-1)
    assert (np.diff(brightness[0].astype(int)) > 0).all()
    assert (brightness[1] == brightness[0, 0]).all()
    assert (draw_heat(picture, np.zeros((2, 4)), opacity=0) == picture).all()


@pytest.mark.parametrize("values", [[[-1.0]], [[np.nan]], [1.0]])
def test_values_that_cannot_be_drawn_raise_an_error(values):
    with pytest.raises(ValueError, match="at least 0"):
        draw_heat(np.zeros((4, 4, 3), np.uint8), np.array(values))
