"""Where a model runs: what the user named, or a GPU where there is one."""

from __future__ import annotations

import torch


def usable_device(name: str | None = None) -> str:
    """A device that is there.

    Args:
        name: Such as ``'cpu'``, ``'cuda'`` or ``'cuda:1'``; None takes a GPU where there is one.

    Raises:
        ValueError: There is no such device.
    """
    count = torch.cuda.device_count()
    try:
        device = torch.device(name or ("cuda" if count else "cpu"))
        if device.type not in ("cpu", "cuda"):
            torch.zeros(1, device=device).cpu()  # torch knows more devices than a machine has
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ValueError(f"there is no device {name!r}: take cpu, cuda or cuda:1") from error
    if device.type == "cuda" and (device.index or 0) >= count:
        raise ValueError(f"there is no device {name!r}: torch finds {count} GPUs here; take cpu")
    return str(device)
