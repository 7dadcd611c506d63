"""Segmentation of text in word images, pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement, PixelData
from torch import Tensor, nn

from mms_ocr.models.pixel.decoder import PixelModel, build_part
from mms_ocr.registry import MODELS

#: ``gt_coverage`` stores the share of text in a pixel times this; halves, thirds, quarters, fifths,
#: sixths, eighths and sixteenths are exact.
COVERAGE_STEPS = 240
#: Label and coverage of ignored pixels.
IGNORED = 255
DEFAULT_LOSSES = (dict(type="mms_ocr.MaskCrossEntropy"), dict(type="mms_ocr.MaskDice"))


def resize_logits(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize logits ``(N, c, h, w)`` bilinearly, antialiased if they shrink."""
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits
    if size[1] == 1 < size[0]:  # torch 2.13 makes all rows of a single column equal
        return resize_logits(logits.transpose(2, 3), (1, size[0])).transpose(2, 3)
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False, antialias=True)


def label_coverage(labels: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Compute the share of text in the pixels of another size.

    Labels are ``(1, H, W)``: 0 background, 1 text, 255 ignored. Returns the share of text among the
    pixels that count, in [0, 1], and 1 where at least half of them count, float32 ``(1, *size)``.
    """
    planes = torch.stack([labels == 1, labels != IGNORED]).float()
    text, counted = F.interpolate(planes, size=size, mode="area")
    return text / counted.clamp(min=0.5), (counted >= 0.5).float()


@MODELS.register_module()
class TextSegmentor(PixelModel):
    """Text segmentation with the encoder of word images and a small pixel decoder.

    Samples have MMSegmentation's fields: ``gt_sem_seg`` is read, ``seg_logits`` and
    ``pred_sem_seg`` are written, each a PixelData at the size of the original image.

    Args:
        backbone: The encoder, :class:`~mms_ocr.models.TextViT` or its config.
        decoder: :class:`~mms_ocr.models.PixelDecoder` or its config; ``embed_dim``, ``grid`` and
            ``out_channels`` are set, and ``patch_size`` is the encoder's unless given: with twice
            that, masks have twice the resolution of the input.
        losses: Losses or their configs; None takes cross-entropy and Dice.
        data_preprocessor: As everywhere in MMEngine.
        threshold: Probability from which a pixel is text, in (0, 1).

    Raises:
        ValueError: The threshold lies outside (0, 1), or there is no loss.
    """

    def __init__(
        self,
        backbone: dict | nn.Module,
        decoder: dict | nn.Module,
        losses: Sequence[dict | nn.Module] | None = None,
        data_preprocessor: dict | nn.Module | None = None,
        threshold: float = 0.5,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(backbone, decoder, 1, data_preprocessor, init_cfg)
        if not 0 < threshold < 1:
            raise ValueError(f"threshold must lie in (0, 1), got {threshold}")
        losses = DEFAULT_LOSSES if losses is None else losses
        if not losses:
            raise ValueError("a segmentor needs at least one loss, got none")
        self.losses = nn.ModuleList(build_part(loss) for loss in losses)
        self.threshold = threshold

    def loss(
        self,
        inputs: Tensor,
        data_samples: list[BaseDataElement] | None = None,
        gt_coverage: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch.

        Args:
            inputs: Normalized images, ``(N, 3, H, W)``.
            data_samples: Samples; without ``gt_coverage``, with ``gt_sem_seg`` of any size.
            gt_coverage: Share of text in every pixel of the logits, uint8 ``(N, 1, h, w)``: 0 none
                to 240 all, 255 ignored, from mms_ocr.PackWordCoverage.

        Raises:
            ValueError: The truth is missing, or of another size than the logits.
        """
        logits = self(inputs).float()
        size = (logits.shape[-2], logits.shape[-1])
        if gt_coverage is not None:
            if gt_coverage.shape != logits.shape:
                raise ValueError(
                    f"gt_coverage is {tuple(gt_coverage.shape)} and the logits are "
                    f"{tuple(logits.shape)}; set size={size} on mms_ocr.PackWordCoverage"
                )
            valid = (gt_coverage != IGNORED).float()
            coverage = gt_coverage.float() / COVERAGE_STEPS * valid
        else:
            pairs = [label_coverage(labels, size) for labels in _labels(data_samples)]
            coverage, valid = (torch.stack(parts).to(logits.device) for parts in zip(*pairs))
        return {str(loss.name): loss(logits, coverage, valid) for loss in self.losses}

    @torch.no_grad()
    def predict(
        self,
        inputs: Tensor,
        data_samples: list[BaseDataElement] | None = None,
        gt_coverage: Tensor | None = None,
    ) -> list[BaseDataElement]:
        """Predict masks at the size of the original images, or of the logits without ``ori_shape``.

        The samples, on the CPU, get ``seg_logits`` (float32 ``(1, H, W)``; the sigmoid is the
        probability of text) and ``pred_sem_seg`` (uint8 ``(1, H, W)``; 1 is text).
        """
        samples = data_samples or [BaseDataElement() for _ in inputs]
        logits = self(inputs).float()
        least = torch.logit(torch.tensor(self.threshold))
        for index, sample in enumerate(samples):
            size = sample.get("ori_shape", logits.shape[-2:])
            own = resize_logits(logits[index : index + 1], (size[0], size[1]))[0].cpu()
            sample.seg_logits = PixelData(data=own)
            sample.pred_sem_seg = PixelData(data=(own >= least).byte())
            if "gt_sem_seg" in sample:
                sample.gt_sem_seg = sample.gt_sem_seg.to_tensor().cpu()
        return samples


def _labels(samples: list[BaseDataElement] | None) -> list[Tensor]:
    if not samples or any("gt_sem_seg" not in sample for sample in samples):
        raise ValueError(
            "a segmentor needs true masks to train: end the pipeline with "
            "dict(type='mms_ocr.PackWordCoverage')"
        )
    return [torch.as_tensor(sample.gt_sem_seg.data) for sample in samples]
