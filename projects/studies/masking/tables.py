"""Tables of the study, from whatever is finished."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from plan import TESTS, VARIANTS, Chain
from steps import missing_steps, read_result, read_settings

from mms_ocr.evaluation.benchmark_scores import markdown_table

# 97.5% quantiles of Student's t by degrees of freedom, and of the normal distribution.
T_QUANTILES = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306}
NORMAL_QUANTILE = 1.960
BASELINE = "random"
UNTRAINED = "none"
ENCODER = {
    "error random_patch": "error: random patches",
    "error blockwise": "error: blocks",
    "error span": "error: spans",
    "characters": "characters, %",
    "context": "context, %",
}
SEGMENTATION = {"unseen fonts": "IoU in unseen fonts, %", "documents": "IoU on documents, %"}
UPSCALING = {"PSNR": "PSNR, dB", "SSIM": "SSIM", "words": "words read, %"}
READING_DIFFERENCES = {
    ("all", "mean"): "all words, points",
    ("again", "mean"): "all words again, points",
    ("few", "mean"): "500 words, points",
    ("encoder", "characters"): "probe of characters, points",
    ("encoder", "context"): "probe of context, points",
}
PIXEL_DIFFERENCES = {
    (step, name): title.replace("%", "points")
    for step, columns in (("segmentation", SEGMENTATION), ("upscaling", UPSCALING))
    for name, title in columns.items()
}
# Factor and digits of what is not a share in %.
UNITS = {"error": (1, 3), "PSNR": (1, 2), "SSIM": (1, 4)}


def half_width(values: Sequence[float], errors: Sequence[float]) -> float:
    """Half of the 95% interval of a mean: over seeds by Student's t; of one seed over test words.

    Args:
        values: One for each seed.
        errors: Standard errors of each, over what it was measured on.
    """
    count = len(values)
    if count == 1:
        return NORMAL_QUANTILE * errors[0]
    mean = sum(values) / count
    variance = sum((value - mean) ** 2 for value in values) / (count - 1)
    return T_QUANTILES[count - 1] * math.sqrt(variance / count)


def format_cell(estimates: Sequence[tuple[float, float]], name: str) -> str:
    """Format a mean ± half of its interval, with a star if there is only one seed.

    Args:
        estimates: Value and standard error of each seed.
        name: Of what is estimated.
    """
    if not estimates:
        return ""
    values, errors = zip(*estimates)
    scale, digits = UNITS.get(name.split()[0], (100, 1))
    mean, width = sum(values) / len(values), half_width(values, errors)
    star = "*" if len(values) == 1 else ""
    return f"{scale * mean:.{digits}f} ± {scale * width:.{digits}f}{star}"


def collect(folder: Path, variant: str, step: str, name: str) -> dict[int, dict[str, float]]:
    """Collect an estimate by seed, for the seeds that have it."""
    results = {
        seed: read_result(folder, Chain(variant, seed), step) for seed in VARIANTS[variant].seeds
    }
    return {seed: result[name] for seed, result in results.items() if result and name in result}


def table(folder: Path, step: str, columns: dict[str, str], variants: Sequence[str]) -> str:
    """Make a Markdown table of a step: a row for each variant, a column for each estimate."""
    rows = [["pretraining", "seeds", *columns.values()]]
    for variant in variants:
        values = [collect(folder, variant, step, name) for name in columns]
        seeds = sorted(set().union(*values))
        cells = [
            format_cell([(each["value"], each["se"]) for each in part.values()], name)
            for part, name in zip(values, columns)
        ]
        rows.append([VARIANTS[variant].title, ", ".join(map(str, seeds)), *cells])
    return markdown_table(rows)


def difference_table(
    folder: Path, columns: dict[tuple[str, str], str], variants: Sequence[str], baseline: str
) -> str:
    """Differences to a baseline, seed by seed, of variants that share seeds with it."""
    rows = [["pretraining", *columns.values()]]
    for variant in variants:
        if variant == baseline:
            continue
        cells = []
        for step, name in columns:
            own, base = (collect(folder, each, step, name) for each in (variant, baseline))
            seeds = sorted(own.keys() & base.keys())
            differences = [
                (
                    own[seed]["value"] - base[seed]["value"],
                    math.hypot(own[seed]["se"], base[seed]["se"]),
                )
                for seed in seeds
            ]
            cells.append(format_cell(differences, name))
        rows.append([VARIANTS[variant].title, *cells])
    return markdown_table(rows)


def report(folder: Path, chains: Sequence[Chain]) -> str:
    """Make all tables, and list the missing results."""
    settings = read_settings(folder)
    variants = list(dict.fromkeys(chain.variant for chain in chains))
    tests = {name: f"{name}, %" for name in (*TESTS, "mean")}
    parts = [
        f"{settings.views:,} masked views of pretraining, {settings.words:,} words of fine-tuning; "
        "means ± 95% intervals over seeds (Student's t); *: one seed, interval over test words",
        "Encoder, frozen: masked error at one ratio, and linear probes",
        table(folder, "encoder", ENCODER, variants),
        *_references(folder),
        "Fine-tuned on all labelled words: words read, letters and digits, any case",
        table(folder, "all", tests, variants),
        "The same again under other seeds, from the same encoders",
        table(folder, "again", tests, variants),
        "Fine-tuned on 500 of them",
        table(folder, "few", tests, variants),
        f"Differences to {VARIANTS[BASELINE].title}, paired by seed",
        difference_table(folder, READING_DIFFERENCES, variants, BASELINE),
    ]
    if pixels := [name for name in variants if VARIANTS[name].pixels]:
        parts += [
            f"Segmentor, {settings.pixel_words:,} words: IoU over all pixels",
            table(folder, "segmentation", SEGMENTATION, pixels),
            *_mask_references(folder),
            f"Upscaler, {settings.pixel_words:,} words, on IIIT5K",
            table(folder, "upscaling", UPSCALING, pixels),
            *_restoring_references(folder),
            f"Differences to {VARIANTS[UNTRAINED].title}, paired by seed",
            difference_table(folder, PIXEL_DIFFERENCES, pixels, UNTRAINED),
        ]
    missing = {chain.name: missing_steps(folder, chain) for chain in chains}
    lines = [f"- {name}: {', '.join(steps)}" for name, steps in missing.items() if steps]
    parts.append("\n".join(["Missing:", *lines]) if lines else "Nothing is missing.")
    return "\n\n".join(parts)


def _references(folder: Path) -> list[str]:
    """Describe the baselines of the context probe, which are the same for every encoder."""
    if not (result := _first_result(folder, "encoder")):
        return []
    chance, neighbors = (
        100 * result[f"context {kind}"]["value"] for kind in ("by chance", "from true neighbors")
    )
    return [
        f"Context: the most frequent character gives {chance:.1f}%, a linear classifier of the two "
        f"true neighbors {neighbors:.1f}%."
    ]


def _mask_references(folder: Path) -> list[str]:
    if not (result := _first_result(folder, "segmentation")):
        return []
    fonts, documents = (100 * result[f"{name}, Otsu"]["value"] for name in SEGMENTATION)
    return [
        f"Otsu's threshold gives {fonts:.1f}% in unseen fonts and {documents:.1f}% on documents."
    ]


def _restoring_references(folder: Path) -> list[str]:
    if not (result := _first_result(folder, "upscaling")):
        return []
    ratio, similarity, low, true = (
        result[name]["value"]
        for name in ("bicubic PSNR", "bicubic SSIM", "bicubic words", "true words")
    )
    return [
        f"Bicubic interpolation gives {ratio:.2f} dB and an SSIM of {similarity:.4f}, and "
        f"{low:.1%} of the words are read; in the true images, {true:.1%}."
    ]


def _first_result(folder: Path, step: str) -> dict[str, dict[str, float]]:
    results = (
        read_result(folder, Chain(name, seed), step)
        for name, variant in VARIANTS.items()
        for seed in variant.seeds
    )
    return next(filter(None, results), {})
