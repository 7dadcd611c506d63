"""The difficulty sets all strengths, and single ones can be set within their limits."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mms_ocr.rendering import RenderSettings


def test_between_the_levels_strengths_are_linear():
    assert RenderSettings.at(0.5) == RenderSettings()
    plain, usual, hard = (RenderSettings.at(d) for d in (0, 0.5, 1))
    assert plain.rotation == 0
    assert RenderSettings.at(0.25).rotation == pytest.approx(usual.rotation / 2)
    assert RenderSettings.at(0.75).noise == pytest.approx((usual.noise + hard.noise) / 2)
    quarter = RenderSettings.at(0.25).stretch
    assert quarter == pytest.approx([(a + b) / 2 for a, b in zip(plain.stretch, usual.stretch)])


@given(st.floats(0, 1))
def test_every_difficulty_gives_valid_settings(difficulty):
    settings = RenderSettings.at(difficulty)
    assert dataclasses.replace(settings) == settings


def test_single_settings():
    settings = RenderSettings.at(0, rotation=30, contrast=[0.3, 0.4])
    assert (settings.rotation, settings.contrast) == (30, (0.3, 0.4))
    assert dataclasses.replace(settings, rotation=0.0, contrast=(0.5, 1.0)) == RenderSettings.at(0)


@pytest.mark.parametrize("difficulty", [-0.1, 1.01, "high", float("nan"), None])
def test_wrong_difficulty(difficulty):
    with pytest.raises(ValueError, match=r"difficulty is .*; give a number from 0"):
        RenderSettings.at(difficulty)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (dict(rotation=90), "rotation is 90; it must lie in"),
        (dict(glare=-0.1), "glare is -0.1; it must lie in"),
        (dict(rotation=(1, 2)), r"rotation is \(1, 2\); it must lie in"),
        (dict(contrast=0.5), r"contrast is 0.5; give a pair \(low, high\)"),
        (dict(contrast=(0.9, 0.5)), "the low end comes first"),
        (dict(height=(4, 64)), "height is .* must lie in"),
        (dict(noise="much"), "noise is 'much'; it must lie in"),
        (dict(wind=1), "unknown render setting 'wind'; the settings are height, margin"),
    ],
)
def test_wrong_overrides(override, message):
    with pytest.raises(ValueError, match=message):
        RenderSettings.at(0.5, **override)


def test_settings_table_of_the_documentation(repository):
    def cell(level: float | tuple[float, float]) -> str:
        return f"{level[0]:g} to {level[1]:g}" if isinstance(level, tuple) else f"{level:g}"

    text = (repository / "docs" / "rendering.md").read_text(encoding="utf-8")
    for field in dataclasses.fields(RenderSettings):
        levels = " | ".join(map(cell, field.metadata["levels"]))
        assert f"| `{field.name}` | {field.metadata['help']} | {levels} |" in text
