"""Settings of the renderer, and the difficulty that sets them all."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

Level = float | tuple[float, float]


def _dial(plain: Level, usual: Level, hard: Level, limits: tuple[float, float], help: str) -> Any:
    """Define a setting by its values at difficulty 0, 0.5 and 1, and its limits."""
    return dataclasses.field(
        default=usual,
        metadata={"levels": (plain, usual, hard), "limits": limits, "help": help},
    )


@dataclass(frozen=True)
class RenderSettings:
    """How words are drawn and degraded; the defaults are those of difficulty 0.5.

    A pair is a range from which each word draws; a single number is the maximum strength or, if its
    help says so, a probability. :meth:`at` gives the settings of any difficulty.

    Raises:
        ValueError: A value is outside its limits, or the ends of a pair are exchanged.
    """

    # Size
    height: tuple[float, float] = _dial(
        (48, 48), (32, 64), (32, 64), (8, 512), "height of the image, pixels"
    )
    margin: tuple[float, float] = _dial(
        (0.1, 0.1),
        (0.02, 0.22),
        (0.0, 0.3),
        (0, 2),
        "room on each side, share of the text's height",
    )
    max_width: float = _dial(1024, 1024, 1024, (16, 16384), "widest image, pixels")

    # Geometry
    rotation: float = _dial(0, 7, 18, (0, 60), "rotation, degrees")
    shear: float = _dial(0, 0.12, 0.3, (0, 1), "horizontal shear, tangent of the angle")
    perspective: float = _dial(0, 0.14, 0.3, (0, 0.45), "foreshortening from the middle to an edge")
    curve: float = _dial(0, 0.2, 0.35, (0, 1), "probability of a bent base line (arc or wave)")
    bend: float = _dial(0, 0.9, 1.6, (0, 3), "angle that an arc turns over the word, radians")
    spacing: tuple[float, float] = _dial(
        (0, 0),
        (-0.04, 0.25),
        (-0.07, 0.5),
        (-0.2, 3),
        "room added between letters, capital heights",
    )
    stretch: tuple[float, float] = _dial(
        (1, 1), (0.75, 1.3), (0.6, 1.6), (0.25, 4), "width of the letters over their natural width"
    )
    jitter: float = _dial(0, 0.02, 0.06, (0, 0.5), "letters off the base line, capital heights")

    # Ink
    contrast: tuple[float, float] = _dial(
        (0.5, 1.0), (0.25, 1.0), (0.15, 1.0), (0.02, 1), "difference of luma, text to background"
    )
    saturation: float = _dial(0, 0.9, 1, (0, 1), "strength of the colors")
    ink_gradient: float = _dial(0, 0.25, 0.4, (0, 1), "probability of ink that changes along it")
    outline: float = _dial(0, 0.15, 0.25, (0, 1), "probability of an outline")
    shadow: float = _dial(0, 0.2, 0.35, (0, 1), "probability of a drop shadow")
    emboss: float = _dial(0, 0.12, 0.2, (0, 1), "probability of embossed letters")

    # Background
    gradient: float = _dial(0, 0.5, 0.7, (0, 1), "probability of a background gradient")
    clouds: float = _dial(0, 0.5, 0.8, (0, 1), "probability of stains and clouds")
    texture: float = _dial(
        0, 0.3, 0.5, (0, 1), "probability of a texture: grain, stripes, bricks, …"
    )
    panel: float = _dial(0, 0.2, 0.35, (0, 1), "probability of sign edges and rules round the text")
    image: float = _dial(0, 0.5, 0.7, (0, 1), "probability of a crop, where images are given")
    neighbours: float = _dial(0, 0.3, 0.5, (0, 1), "probability of other text at the edges")

    # Light and obstacles
    light: float = _dial(0, 0.3, 0.6, (0, 0.95), "uneven light: share lost in the darkest corner")
    tint: float = _dial(0, 0.1, 0.25, (0, 1), "color cast of the light, share of a channel")
    glare: float = _dial(0, 0.07, 0.2, (0, 1), "probability of a bright reflection")
    occlusion: float = _dial(0, 0.06, 0.2, (0, 1), "probability of something across the text")

    # Camera
    low_resolution: float = _dial(0, 0.35, 0.6, (0, 1), "probability of a small original")
    lowest_height: float = _dial(
        32, 18, 11, (4, 512), "text height of the smallest original, pixels"
    )
    defocus: float = _dial(0, 0.35, 0.6, (0, 1), "probability of defocus")
    defocus_sigma: float = _dial(0, 0.05, 0.075, (0, 0.5), "defocus sigma, share of text height")
    motion: float = _dial(0, 0.15, 0.3, (0, 1), "probability of motion blur")
    motion_length: float = _dial(
        0, 0.15, 0.25, (0, 2), "length of the motion, share of text height"
    )
    noise: float = _dial(0, 0.04, 0.08, (0, 0.5), "sensor noise sigma, share of the full range")
    sharpening: float = _dial(0, 0.2, 0.3, (0, 1), "probability of over-sharpening")
    exposure: float = _dial(0, 0.15, 0.35, (0, 0.9), "change of brightness, contrast and gamma")
    jpeg: float = _dial(0, 0.6, 0.8, (0, 1), "probability of JPEG compression")
    jpeg_quality: tuple[float, float] = _dial(
        (95, 95), (30, 95), (12, 90), (1, 100), "JPEG quality"
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check(field.name, getattr(self, field.name), field.metadata)

    @classmethod
    def at(cls, difficulty: float, **overrides: Any) -> RenderSettings:
        """Return the settings of a difficulty in [0, 1], with single ones overridden by name.

        0 draws plain words, 0.5 words as in street photographs, 1 words that are hard for people;
        in between every strength is interpolated linearly.

        Raises:
            ValueError: The difficulty or an override is out of range, or a name is unknown.
        """
        if not (isinstance(difficulty, (int, float)) and 0 <= difficulty <= 1):
            raise ValueError(f"difficulty is {difficulty!r}; give a number from 0 (plain) to 1")
        fields = {field.name: field for field in dataclasses.fields(cls)}
        unknown = sorted(set(overrides) - set(fields))
        if unknown:
            raise ValueError(
                f"unknown render setting {', '.join(map(repr, unknown))}; "
                f"the settings are {', '.join(fields)}"
            )
        values: dict[str, Any] = {
            name: _interpolate(field.metadata["levels"], float(difficulty))
            for name, field in fields.items()
        }
        for name, value in overrides.items():
            values[name] = tuple(value) if isinstance(value, list) else value
        return cls(**values)


def _interpolate(levels: tuple[Level, Level, Level], difficulty: float) -> Level:
    lower, upper = levels[:2] if difficulty <= 0.5 else levels[1:]
    share = difficulty * 2 if difficulty <= 0.5 else difficulty * 2 - 1
    if isinstance(lower, tuple) and isinstance(upper, tuple):
        pairs = [low * (1 - share) + high * share for low, high in zip(lower, upper)]
        return pairs[0], pairs[1]
    return lower * (1 - share) + upper * share  # type: ignore[operator]


def _check(name: str, value: Any, metadata: Any) -> None:
    low, high = metadata["limits"]
    pair = isinstance(metadata["levels"][0], tuple)
    numbers = value if pair and isinstance(value, tuple) else (value,)
    if pair and len(numbers) != 2:
        raise ValueError(f"render setting {name} is {value!r}; give a pair (low, high)")
    if not all(isinstance(number, (int, float)) and low <= number <= high for number in numbers):
        raise ValueError(f"render setting {name} is {value!r}; it must lie in [{low}, {high}]")
    if pair and numbers[0] > numbers[1]:
        raise ValueError(f"render setting {name} is {value!r}; the low end comes first")
