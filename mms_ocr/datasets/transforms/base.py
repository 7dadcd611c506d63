"""Base class of the transforms."""

from __future__ import annotations

from mmcv.transforms import BaseTransform


class WordTransform(BaseTransform):
    """A transform that is printed with its settings, which are its attributes."""

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({settings})"
