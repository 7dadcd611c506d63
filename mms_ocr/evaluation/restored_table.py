"""Table of super-resolution results: enlarged, restored and true images of every set."""

from __future__ import annotations

from collections.abc import Mapping

from mms_ocr.evaluation.benchmark_scores import PROTOCOLS, markdown_table

_DIGITS = {"PSNR": 2, "PSNR_batch": 2, "SSIM": 4, "SSIM_batch": 4}
#: Protocol of the table; that of TextZoom and IIIT5K.
PROTOCOL = "word_acc_ignore_case_symbol"


def restored_table(metrics: Mapping[str, float]) -> str:
    """Make a Markdown table of the results of super-resolution.

    Args:
        metrics: Results of ``PSNR`` and ``SSIM``, those of the enlarged input under ``bicubic/``,
            and of ``RestoredWordAccuracy``, if there are any; those of subsets under their names.

    Returns:
        For every subset, and for all images, a row for the enlarged and one for the restored image;
        with word accuracy, a column for it and a row for the true image. ``''`` without PSNR.
    """
    if "PSNR" not in metrics:
        return ""
    subsets = [name.removesuffix("/PSNR") for name in metrics if name.endswith("/PSNR")]
    subsets = [name for name in subsets if name.split("/")[0] != "bicubic"]
    is_read = f"SR/{PROTOCOL}" in metrics
    rows = [["words", "image", "PSNR, dB", "PSNR_batch, dB", "SSIM", "SSIM_batch"]]
    rows[0] += ["read, %"] if is_read else []
    for title, within in [*((name, f"{name}/") for name in subsets), ("all", "")]:
        for image, kind, outer in (("bicubic", "LR", "bicubic/"), ("restored", "SR", "")):
            names = [f"{outer}{within}{name}" for name in _DIGITS]
            cells = [
                f"{metrics[name]:.{digits}f}" if name in metrics else ""
                for name, digits in zip(names, _DIGITS.values())
            ]
            rows.append([title, f"{image} ({kind})", *cells])
            if is_read:
                rows[-1].append(_percent(metrics[f"{within}{kind}/{PROTOCOL}"]))
        if is_read:
            share = _percent(metrics[f"{within}HR/{PROTOCOL}"])
            rows.append([title, "true (HR)", *[""] * len(_DIGITS), share])
    return markdown_table(rows)


def restored_notes(metrics: Mapping[str, float]) -> list[str]:
    """Make the notes below the table."""
    if f"SR/{PROTOCOL}" not in metrics:
        return []
    gained, lost = (_percent(metrics[f"{kind}/{PROTOCOL}"]) for kind in ("gained", "lost"))
    return [
        f"Read: {PROTOCOLS[PROTOCOL]}. Of all words, {gained} % are read in the restored image "
        f"and not in the bicubic one, and {lost} % the other way round."
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
