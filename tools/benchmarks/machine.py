"""One line about the machine, for the head of a benchmark's report."""

import datetime
import os
import platform

import torch


def describe_machine(device: str = "cpu") -> str:
    """Processor or GPU, cores and threads, versions, date."""
    name = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            models = [line.split(":", 1)[1].strip() for line in file if "model name" in line]
        name = models[0] if models else name
    if device.startswith("cuda"):
        name = torch.cuda.get_device_name(device)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{name}, {cores} cores, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"Python {platform.python_version()}, {datetime.date.today().isoformat()}"
    )


def synchronize(device: str) -> None:
    """Wait for the device, so that a clock tells the truth."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
