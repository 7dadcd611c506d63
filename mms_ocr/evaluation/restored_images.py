"""PSNR and SSIM of restored images: by image, by batch as in TextZoom, by subset; their table."""

from __future__ import annotations

import logging
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor
from torch.nn import functional as F

from mms_ocr.evaluation.benchmark_scores import PROTOCOLS, markdown_table
from mms_ocr.registry import METRICS

_SIGMA = 1.5
_RADIUS = 5  # of the window of 11 x 11
_C1, _C2 = 0.01**2, 0.03**2  # the constants of Wang et al. for a range of 1


def squared_error(predicted: Tensor, truth: Tensor) -> Tensor:
    """Compute the mean squared error of images ``(B, C, H, W)`` in [0, 1], float64 ``(B,)``."""
    return (predicted.double() - truth.double()).square().flatten(1).mean(dim=1)


def psnr(error: float, maximum: float = 100.0) -> float:
    """Compute the peak signal-to-noise ratio in dB, for a peak of 1, from the mean squared error.

    ``maximum`` limits it, since an image equal to its truth would make every mean infinite.
    """
    return maximum if error <= 10 ** (-maximum / 10) else -10 * math.log10(error)


def ssim(predicted: Tensor, truth: Tensor) -> float:
    """Compute SSIM (Wang et al. 2004) of images ``(C, H, W)`` in [0, 1] with scikit-image.

    Gaussian window of 11 x 11 with sigma 1.5, population covariance, mean over the channels and
    over the pixels but for a border of 5.

    Raises:
        ImportError: scikit-image is not installed.
        ValueError: The images are smaller than the window.
    """
    try:
        from skimage.metrics import structural_similarity
    except ImportError as error:
        raise ImportError(
            f"SSIM is scikit-image's, which cannot be imported here ({error}); "
            "pip install scikit-image"
        ) from error
    if min(truth.shape[-2:]) <= 2 * _RADIUS:
        raise ValueError(
            f"SSIM needs images of 11 x 11 pixels and more, got {tuple(truth.shape[-2:])}"
        )
    return float(
        structural_similarity(
            predicted.double().numpy(),
            truth.double().numpy(),
            gaussian_weights=True,
            sigma=_SIGMA,
            use_sample_covariance=False,
            data_range=1.0,
            channel_axis=0,
        )
    )


def ssim_zero_padded(predicted: Tensor, truth: Tensor) -> Tensor:
    """Compute SSIM, float64 ``(B,)``, of images ``(B, C, H, W)`` as TextZoom's code.

    The mean over all pixels, with zeros beyond the border; the border that :func:`ssim` leaves out
    is a third of the pixels of 32 x 128.
    """
    x, y = predicted.double(), truth.double()
    products = torch.stack([x, y, x * x, y * y, x * y])
    mean_1, mean_2, square_1, square_2, product = _blur(products.flatten(0, 2)).view_as(products)
    variance_1, variance_2 = square_1 - mean_1**2, square_2 - mean_2**2
    covariance = product - mean_1 * mean_2
    brightness = (2 * mean_1 * mean_2 + _C1) / (mean_1**2 + mean_2**2 + _C1)
    structure = (2 * covariance + _C2) / (variance_1 + variance_2 + _C2)
    return (brightness * structure).flatten(1).mean(dim=1)


def _blur(planes: Tensor) -> Tensor:
    """Blur planes ``(N, H, W)`` with the Gaussian window, zeros beyond the border."""
    distance = torch.arange(-_RADIUS, _RADIUS + 1, dtype=planes.dtype, device=planes.device)
    window = torch.exp(-(distance**2) / (2 * _SIGMA**2))
    window = window / window.sum()
    blurred = F.conv2d(planes[:, None], window.view(1, 1, 1, -1), padding=(0, _RADIUS))
    return F.conv2d(blurred, window.view(1, 1, -1, 1), padding=(_RADIUS, 0))[:, 0]


@dataclass(frozen=True)  # MMEngine would make plain tuples of named ones
class SubsetResult:
    """Values of a metric for an image, its index in the data set, and its subset or None."""

    index: int
    subset: str | None
    values: Any


def compute_by_subset(
    results: Sequence[SubsetResult], compute: Callable[[list[Any]], dict[str, float]]
) -> dict[str, float]:
    """Compute metrics of all images, and of every subset under ``<subset>/``.

    ``compute`` gets the values of images in the order of the data set.
    """
    ordered = sorted(results, key=lambda result: result.index)
    metrics = compute([result.values for result in ordered])
    for subset in dict.fromkeys(result.subset for result in results):
        if subset is not None:
            part = compute([result.values for result in ordered if result.subset == subset])
            metrics |= {f"{subset}/{name}": value for name, value in part.items()}
    return metrics


class PairMetric(BaseMetric):
    """Base class of metrics that compare two images of a sample.

    The values per batch are those of blocks of ``batch_size`` consecutive images of the data set
    (or subset), whatever the batches of the loader and the number of processes. The last block may
    be smaller and counts as much as the others, as in TextZoom's code.

    Args:
        batch_size: Images of a block; TextZoom's config has 512.
        gt_key: Field of the true image, ``(3, H, W)`` in [0, 1].
        pred_key: Field of the restored image; ``'bicubic_img'`` is the enlarged input.
        **kwargs: Arguments of MMEngine's ``BaseMetric``.

    Raises:
        ValueError: ``batch_size`` is less than 1.
    """

    default_prefix = ""  # PSNR is called PSNR, as in MMagic

    def __init__(
        self,
        batch_size: int = 512,
        gt_key: str = "gt_img",
        pred_key: str = "pred_img",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.batch_size = batch_size
        self.gt_key = gt_key
        self.pred_key = pred_key

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Measure the images of a batch.

        Raises:
            ValueError: A sample lacks an image, or its images differ in size.
        """
        for sample in data_samples:
            index = int(sample.get("sample_idx", len(self.results)))
            if missing := [key for key in (self.pred_key, self.gt_key) if key not in sample]:
                raise ValueError(f"{type(self).__name__}: a sample has no {missing[0]}")
            predicted, truth = (sample[key].detach().cpu() for key in (self.pred_key, self.gt_key))
            if predicted.shape != truth.shape:
                raise ValueError(
                    f"{sample.get('img_path', f'image {index}')}: {self.pred_key} is "
                    f"{tuple(predicted.shape)} and {self.gt_key} {tuple(truth.shape)}"
                )
            values = self.measure(predicted, truth)
            self.results.append(SubsetResult(index, sample.get("subset"), values))

    def compute_metrics(self, results: list[SubsetResult]) -> dict[str, float]:
        """Compute the metrics of all images and of every subset."""
        return compute_by_subset(
            results, lambda values: self.summarize(torch.tensor(values, dtype=torch.float64))
        )

    @abstractmethod
    def measure(self, predicted: Tensor, truth: Tensor) -> tuple[float, ...]:
        """Compute the values of an image ``(3, H, W)``."""

    @abstractmethod
    def summarize(self, values: Tensor) -> dict[str, float]:
        """Compute the metrics of images from their values ``(N, V)``."""


@METRICS.register_module()
class PSNR(PairMetric):
    """Peak signal-to-noise ratio in dB, on RGB in [0, 1]; see :class:`PairMetric`.

    ``PSNR`` is the mean over images. ``PSNR_batch`` is TextZoom's: the PSNR of the mean squared
    error over a batch, averaged over the batches. Images equal to their truth count as 100 dB, and
    so does any PSNR above; the log counts them.
    """

    maximum = 100.0

    def measure(self, predicted: Tensor, truth: Tensor) -> tuple[float, ...]:
        """Compute the mean squared error, and count its values."""
        return float(squared_error(predicted[None], truth[None])), float(truth.numel())

    def summarize(self, values: Tensor) -> dict[str, float]:
        """Compute ``PSNR`` and ``PSNR_batch``."""
        each = [psnr(error, self.maximum) for error in values[:, 0].tolist()]
        batches = [
            psnr(float((block[:, 0] * block[:, 1]).sum() / block[:, 1].sum()), self.maximum)
            for block in values.split(self.batch_size)
        ]
        if limited := each.count(self.maximum):
            print_log(
                f"PSNR of {self.pred_key}: {limited:,} of {len(each):,} images equal their truth "
                f"and count as {self.maximum:g} dB each",
                logger="current",
                level=logging.WARNING,
            )
        return {"PSNR": sum(each) / len(each), "PSNR_batch": sum(batches) / len(batches)}


@METRICS.register_module()
class SSIM(PairMetric):
    """Structural similarity on RGB in [0, 1]; see :func:`ssim` and :class:`PairMetric`.

    ``SSIM`` is the mean over images of scikit-image's, without a border of 5 pixels.
    ``SSIM_batch`` is TextZoom's: over all pixels, with zeros beyond the border, averaged over the
    images of a batch and then over the batches.
    """

    def measure(self, predicted: Tensor, truth: Tensor) -> tuple[float, ...]:
        """Compute SSIM without and with the border."""
        return ssim(predicted, truth), float(ssim_zero_padded(predicted[None], truth[None]))

    def summarize(self, values: Tensor) -> dict[str, float]:
        """Compute ``SSIM`` and ``SSIM_batch``."""
        batches = [float(block[:, 1].mean()) for block in values.split(self.batch_size)]
        return {"SSIM": float(values[:, 0].mean()), "SSIM_batch": sum(batches) / len(batches)}


_DIGITS = {"PSNR": 2, "PSNR_batch": 2, "SSIM": 4, "SSIM_batch": 4}
#: Protocol of the table; that of TextZoom and IIIT5K.
PROTOCOL = "word_acc_ignore_case_symbol"


def restored_table(metrics: Mapping[str, float]) -> str:
    """Make a Markdown table of the results of super-resolution; ``''`` without PSNR.

    ``metrics`` are those of ``PSNR`` and ``SSIM``, under ``bicubic/`` of the enlarged input, and of
    ``RestoredWordAccuracy``, if there are any; those of subsets under their names. Every subset,
    and all images, have a row for the enlarged and one for the restored image; with word accuracy,
    a column for it and a row for the true image.
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
