"""Estimate the cost of pretraining (device hours, cores, reading, storage) from measured speeds.

Prints a Markdown table for 10 million, 100 million and a billion images:

    python tools/benchmarks/pretraining_cost.py --images 5058 --reading 10200 --bytes 7800

bench_scaling.py measures these three numbers, and prints the same table.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

SIZES = {"10 million": 10_000_000, "100 million": 100_000_000, "1 billion": 1_000_000_000}


@dataclass(frozen=True)
class Speeds:
    """Measured speeds of one device and one core.

    Attributes:
        images: Images per second that a device trains on.
        reading: Images per second that one core reads, decodes and resizes.
        size: Bytes of a stored image.
    """

    images: float
    reading: float
    size: float

    def hours(self, images: int, epochs: float) -> float:
        """Compute the device hours of ``epochs`` passes over ``images`` images."""
        return images * epochs / self.images / 3600

    @property
    def cores(self) -> float:
        """Number of cores that read as fast as one device trains."""
        return self.images / self.reading

    @property
    def megabytes(self) -> float:
        """Megabytes per second that a disk or a network must deliver for one device."""
        return self.images * self.size / 1e6


def format_bytes(count: float) -> str:
    """Format a number of bytes with its unit, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def cost_table(speeds: Speeds, epochs: float) -> str:
    """Make a Markdown table with a row for each size of a data set."""
    lines = [
        f"| images, {epochs:g} epochs | device hours | cores to read | MB/s to read | storage |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {name} | {speeds.hours(images, epochs):,.0f} | {speeds.cores:.1f} | "
        f"{speeds.megabytes:,.0f} | {format_bytes(images * speeds.size)} |"
        for name, images in SIZES.items()
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options = {
        "--images": "images/s that one device trains on",
        "--reading": "images/s that one core reads",
        "--bytes": "bytes of a stored image",
    }
    for name, text in options.items():
        parser.add_argument(name, type=float, required=True, help=text)
    parser.add_argument("--epochs", type=float, default=20)
    args = parser.parse_args()
    if min(args.images, args.reading, args.bytes, args.epochs) <= 0:
        parser.error("all numbers must be positive")
    print(cost_table(Speeds(args.images, args.reading, args.bytes), args.epochs))


if __name__ == "__main__":
    main()
