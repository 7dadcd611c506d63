"""Parts of a model that keep their inputs alone, and compute the rest again to learn from it."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from mmengine.runner import runner as mmengine_runner
from torch import nn
from torch.utils.checkpoint import checkpoint


def recompute(model: nn.Module, names: Sequence[str] | str) -> None:
    """Turn on activation checkpointing (arXiv 1604.06174) for some parts of a model.

    MMEngine's own takes torch's older, reentrant way, by which a part whose input needs no gradient
    learns nothing, nor does what comes before the next part that is not among them: with frozen
    first layers the whole encoder would stand still, in silence.

    Args:
        model: The model.
        names: Of the parts, such as ``'backbone.layers.0'``.

    Raises:
        ValueError: The model has no part of such a name.
    """
    for name in [names] if isinstance(names, str) else names:
        try:
            part = model.get_submodule(name)
        except AttributeError as error:
            raise ValueError(
                f"activation_checkpointing names {name!r}, which {type(model).__name__} does not "
                f"have ({error})"
            ) from error
        forward = functools.partial(checkpoint, part.forward, use_reentrant=False)
        part.forward = forward  # type: ignore[method-assign]


def use_recompute() -> None:
    """From now on MMEngine turns on ``activation_checkpointing`` by :func:`recompute`."""
    mmengine_runner.turn_on_activation_checkpointing = recompute
