"""Selection of the device of a model."""

from __future__ import annotations

import datetime
import os
import platform


def usable_device(name: str | None = None) -> str:
    """Check a device such as ``'cuda:1'``; None selects a GPU if there is one, or the CPU.

    Raises:
        ValueError: There is no such device.
    """
    import torch  # not at the top: models in ONNX run without it

    gpus = torch.cuda.device_count()
    try:
        device = torch.device(name or ("cuda" if gpus else "cpu"))
        if device.type not in ("cpu", "cuda"):
            torch.zeros(1, device=device).cpu()  # torch knows more devices than a machine has
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ValueError(f"there is no device {name!r}; give cpu, cuda or cuda:1") from error
    if device.type == "cuda" and (device.index or 0) >= gpus:
        raise ValueError(f"there is no device {name!r}: torch finds {gpus} GPUs; give cpu")
    return str(device)


def describe_machine(device: str = "cpu") -> str:
    """Describe processor or GPU, cores, threads, versions and date, for the head of a report."""
    import torch

    name = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            models = [line.split(":", 1)[1].strip() for line in file if "model name" in line]
        name = models[0] if models else name
    if device.startswith("cuda"):
        name = torch.cuda.get_device_name(device)
    return (
        f"{name}, {usable_cores()} cores, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}, Python {platform.python_version()}, "
        f"{datetime.date.today().isoformat()}"
    )


def usable_cores() -> int:
    """Return the number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return min(os.cpu_count() or 1, 61)  # Windows cannot wait for more processes


def synchronize(device: str) -> None:
    """Wait until the device has finished its work, before a clock is read."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)
