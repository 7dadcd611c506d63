"""PSNR and SSIM of restored images as metrics: per image, TextZoom's way, and per subset."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor

from mms_ocr.evaluation.image_quality import psnr, squared_error, ssim, ssim_zero_padded
from mms_ocr.registry import METRICS


@dataclass(frozen=True)
class _Measured:
    """What is kept of one image.

    Attributes:
        place: Its index in the data set.
        subset: The subset that it is of, or None.
        values: What was measured.
    """

    place: int
    subset: str | None
    values: tuple[float, ...]


class _PairMetric(BaseMetric):
    """Compares two images of every sample; children say how.

    Numbers per batch are those of blocks of ``batch_size`` images that follow each other in the
    data set (in the subset), whatever batches the loader made and however many processes shared
    them; the last block may be smaller and counts as much as the others, as in TextZoom's code.

    Args:
        batch_size: Images of a block. 512 is the batch size of TextZoom's config.
        gt_key: Field of the true image, ``(3, H, W)`` in [0, 1].
        pred_key: Field of the restored image; ``'bicubic_img'`` measures the enlarged input.
        collect_device: ``'cpu'`` or ``'gpu'``, how results travel between processes.
        prefix: First part of the names of the results.

    Raises:
        ValueError: ``batch_size`` is less than 1.
    """

    default_prefix = ""  # PSNR is called PSNR, as in MMagic

    def __init__(
        self,
        batch_size: int = 512,
        gt_key: str = "gt_img",
        pred_key: str = "pred_img",
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.batch_size = batch_size
        self.gt_key = gt_key
        self.pred_key = pred_key

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Measure the images of a batch.

        Raises:
            ValueError: An image is missing, or has another size than its truth.
        """
        for sample in data_samples:
            index = int(sample.get("sample_idx", len(self.results)))
            predicted, truth = (self._image(sample, key) for key in (self.pred_key, self.gt_key))
            if predicted.shape != truth.shape:
                raise ValueError(
                    f"{sample.get('img_path', f'image {index}')}: {self.pred_key} is "
                    f"{tuple(predicted.shape)} and {self.gt_key} {tuple(truth.shape)}"
                )
            values = self.measure(predicted, truth)
            self.results.append(_Measured(index, sample.get("subset"), values))

    def compute_metrics(self, results: list[_Measured]) -> dict[str, float]:
        """The numbers of all images, and of every subset under ``<subset>/``."""
        subsets = dict.fromkeys(measured.subset for measured in results)
        metrics = self._summarize(results)
        for subset in subsets:
            if subset is not None:
                part = [measured for measured in results if measured.subset == subset]
                numbers = self._summarize(part)
                metrics |= {f"{subset}/{name}": value for name, value in numbers.items()}
        return metrics

    @abstractmethod
    def measure(self, predicted: Tensor, truth: Tensor) -> tuple[float, ...]:
        """What is kept of an image ``(3, H, W)``."""

    @abstractmethod
    def summarize(self, values: Tensor) -> dict[str, float]:
        """The numbers of images whose values are ``(N, values of an image)``, in order."""

    def blocks(self, values: Tensor) -> Iterator[Tensor]:
        """The values block by block."""
        yield from values.split(self.batch_size)

    def _summarize(self, results: Sequence[_Measured]) -> dict[str, float]:
        ordered = sorted(results, key=lambda measured: measured.place)
        values = torch.tensor([measured.values for measured in ordered], dtype=torch.float64)
        return self.summarize(values)

    def _image(self, sample: dict, key: str) -> Tensor:
        if key not in sample:
            raise ValueError(
                f"{type(self).__name__} compares {self.pred_key} with {self.gt_key}, and a sample "
                f"has no {key}"
            )
        image: Tensor = sample[key]
        return image.detach().cpu()


@METRICS.register_module()
class PSNR(_PairMetric):
    """Peak signal-to-noise ratio in dB, on RGB in [0, 1].

    ``PSNR`` is the mean of the PSNR of every image. ``PSNR_batch`` is TextZoom's: the PSNR of the
    mean squared error over all pixels of a batch, averaged over the batches; of one batch it is the
    lower one, as bad images weigh more. An image that equals its truth counts as 100 dB, and so
    does any that comes nearer than that; the log tells how many do.

    Takes the arguments of all metrics of pairs: ``batch_size``, ``gt_key``, ``pred_key``,
    ``collect_device`` and ``prefix``.
    """

    most = 100.0

    def measure(self, predicted: Tensor, truth: Tensor) -> tuple[float, ...]:
        """Squared error, and the number of values that it is the mean of."""
        return float(squared_error(predicted[None], truth[None])), float(truth.numel())

    def summarize(self, values: Tensor) -> dict[str, float]:
        """``PSNR`` and ``PSNR_batch``."""
        each = [psnr(error, self.most) for error in values[:, 0].tolist()]
        batches = [
            psnr(float((block[:, 0] * block[:, 1]).sum() / block[:, 1].sum()), self.most)
            for block in self.blocks(values)
        ]
        limited = each.count(self.most)
        if limited:
            print_log(
                f"PSNR of {self.pred_key}: {limited:,} of {len(each):,} images equal their truth "
                f"and count as {self.most:g} dB each",
                logger="current",
                level=logging.WARNING,
            )
        return {"PSNR": sum(each) / len(each), "PSNR_batch": sum(batches) / len(batches)}


@METRICS.register_module()
class SSIM(_PairMetric):
    """Structural similarity on RGB in [0, 1]: Gaussian window of 11 x 11, sigma 1.5.

    ``SSIM`` is the mean over images of scikit-image's, which leaves out a border of 5 pixels.
    ``SSIM_batch`` is TextZoom's: over all pixels with zeros beyond the border, averaged over the
    images of a batch and then over the batches.

    Takes the arguments of all metrics of pairs: ``batch_size``, ``gt_key``, ``pred_key``,
    ``collect_device`` and ``prefix``.
    """

    def measure(self, predicted: Tensor, truth: Tensor) -> tuple[float, ...]:
        """Without and with the border."""
        return ssim(predicted, truth), float(ssim_zero_padded(predicted[None], truth[None]))

    def summarize(self, values: Tensor) -> dict[str, float]:
        """``SSIM`` and ``SSIM_batch``."""
        batches = [float(block[:, 1].mean()) for block in self.blocks(values)]
        return {"SSIM": float(values[:, 0].mean()), "SSIM_batch": sum(batches) / len(batches)}
