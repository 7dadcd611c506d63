"""Super-resolution of word images, with its data preprocessor and its further losses."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn
from torch.nn import functional as F

from mms_ocr.models.image_preprocessor import ImagePreprocessor
from mms_ocr.models.pixel.decoder import PixelModel, build_part
from mms_ocr.models.stored_settings import store_settings
from mms_ocr.registry import MODELS

CRITERIA = {"L1": F.l1_loss, "L2": F.mse_loss}


def enlarge(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize images ``(B, C, H, W)`` by bicubic interpolation (a = -0.75, ``align_corners=False``).

    This is the bicubic baseline of all results here; TextZoom's own has ``align_corners=True``.
    """
    return F.interpolate(images, size=size, mode="bicubic", align_corners=False)


# Added under the root, whose slope is infinite at 0.
_LEAST_SQUARE = 1e-6


def gradient_magnitude(images: Tensor) -> Tensor:
    """Compute the length of the gradient of every pixel of images ``(B, C, H, W)``.

    By central differences, with border pixels replicated; at least 0.001.
    """
    wide = F.pad(images, (1, 1, 1, 1), mode="replicate")
    across = (wide[..., 1:-1, 2:] - wide[..., 1:-1, :-2]) / 2
    down = (wide[..., 2:, 1:-1] - wide[..., :-2, 1:-1]) / 2
    return (across.square() + down.square() + _LEAST_SQUARE).sqrt()


@MODELS.register_module()
class GradientProfileLoss(nn.Module):
    """Mean absolute difference of gradient magnitudes (TextZoom, ECCV 2020, arXiv 2005.03341).

    The paper's code pads with zeros, which makes an edge of every border, and has a ``loss_weight``
    of 1e-4 beside an L2 loss on [0, 1].
    """

    def __init__(self, loss_weight: float = 1e-4) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """Compute the loss of images ``(B, C, H, W)``."""
        difference = gradient_magnitude(predicted) - gradient_magnitude(truth)
        return self.loss_weight * torch.mean(difference.abs())


@MODELS.register_module()
class EncoderFeatureLoss(nn.Module):
    """Mean squared difference of the maps that a frozen encoder computes of two images.

    A perceptual loss (Johnson et al., arXiv 1603.08155) with an encoder of words in place of one of
    objects: with that of a reader, restored words are to read like the true ones.

    Args:
        encoder: Config of a :class:`~mms_ocr.models.TextViT` with an ``init_cfg`` that loads it;
            its images are normalized to [-1, 1].
        loss_weight: Weight of the loss.
    """

    def __init__(self, encoder: dict, loss_weight: float = 0.01) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self._config = encoder
        # In a tuple, so that it is no part of the state dict; built when training starts, so that a
        # trained model does without it.
        self._encoder: tuple[nn.Module, ...] = ()

    def init_weights(self) -> None:
        """Build the encoder; the runner calls this before training starts, and not for tests.

        Raises:
            FileNotFoundError: There are no such weights of the encoder.
            ValueError: They do not fit.
        """
        encoder: Any = build_part(self._config)
        encoder.init_weights()
        self._encoder = (encoder.requires_grad_(False).eval(),)

    def forward(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """Compute the loss of RGB images ``(B, 3, H, W)`` in [0, 1]."""
        if not self._encoder:
            self.init_weights()
        encoder = self._encoder[0].to(predicted.device)
        with torch.no_grad():
            target = encoder(truth * 2 - 1)
        return self.loss_weight * F.mse_loss(encoder(predicted * 2 - 1).float(), target.float())


@MODELS.register_module()
class WordPairDataPreprocessor(ImagePreprocessor):
    """Moves pairs of images to the device and normalizes the small ones.

    The arguments are those of :class:`~mms_ocr.models.image_preprocessor.ImagePreprocessor`.
    """

    resize_type = "mms_ocr.ResizeWordPair"

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Move a batch to the device: float32 inputs, normalized, and ``gt_img`` in [0, 1].

        Args:
            data: ``inputs``, uint8 images ``(3, h, w)`` in a list or ``(B, 3, h, w)``; optionally
                ``gt_img`` likewise, ``(3, H, W)``, and ``data_samples``.
            training: Ignored.
        """
        truth = data.get("gt_img")
        return {
            "inputs": self.normalize(self.stack(data["inputs"])),
            "gt_img": None if truth is None else self.stack(truth) / 255,
            "data_samples": data.get("data_samples"),
        }

    def unit_range(self, images: Tensor) -> Tensor:
        """Convert normalized images to the range of 0 (black) to 1 (white), not clamped."""
        return (images * self.std + self.mean) / 255


@MODELS.register_module()
class TextSuperResolver(PixelModel):
    """Super-resolution with the encoder of word images and a small pixel decoder.

    A small image is enlarged to the size of the encoder by bicubic interpolation, encoded and
    decoded to pixels. With the residual path the decoder predicts the difference to the enlarged
    image; its last layer starts at zero, so that training starts from the bicubic image. Without
    it the decoder predicts the image, as in the code of CCD and SSM.

    Args:
        backbone: The encoder, :class:`~mms_ocr.models.TextViT` or its config.
        decoder: :class:`~mms_ocr.models.PixelDecoder` or its config; ``embed_dim``, ``grid``,
            ``patch_size`` and ``out_channels=3`` are taken from the encoder.
        data_preprocessor: :class:`~mms_ocr.models.WordPairDataPreprocessor` or its config.
        residual: Whether the decoder's output is added to the enlarged image.
        criterion: ``'L2'`` or ``'L1'``, the mean over all values of images in [0, 1].
        gradient_loss: :class:`~mms_ocr.models.GradientProfileLoss` or its config; None for none.
        feature_loss: :class:`~mms_ocr.models.EncoderFeatureLoss` or its config; None for none.

    Raises:
        ValueError: The criterion is unknown.
    """

    def __init__(
        self,
        backbone: dict | nn.Module,
        decoder: dict | nn.Module,
        data_preprocessor: dict | nn.Module | None = None,
        residual: bool = True,
        criterion: str = "L2",
        gradient_loss: dict | nn.Module | None = None,
        feature_loss: dict | nn.Module | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if criterion not in CRITERIA:
            raise ValueError(f"criterion must be 'L1' or 'L2', got {criterion!r}")
        if data_preprocessor is None:
            data_preprocessor = dict(type="mms_ocr.WordPairDataPreprocessor")
        super().__init__(backbone, decoder, 3, data_preprocessor, init_cfg)
        self.decoder.starts_at_zero = residual
        self.residual = residual
        store_settings(self, residual=residual)
        self.criterion = criterion
        self.gradient_loss = None if gradient_loss is None else build_part(gradient_loss)
        self.feature_loss = None if feature_loss is None else build_part(feature_loss)
        #: Height and width of the enlarged images, in pixels.
        self.size: tuple[int, int] = tuple(self.backbone.img_size)

    def compute_pixels(self, inputs: Tensor) -> Tensor:
        """Restore normalized images ``(B, 3, h, w)`` of any size; see :meth:`restore`."""
        return self.restore(enlarge(inputs, self.size))

    def restore(self, enlarged: Tensor) -> Tensor:
        """Restore normalized enlarged images; black is 0 and white 1, not clamped."""
        output = self.decoder(self.backbone(enlarged), enlarged).float()
        return self.data_preprocessor.unit_range(enlarged + output if self.residual else output)

    def loss(
        self,
        inputs: Tensor,
        data_samples: list[BaseDataElement] | None = None,
        gt_img: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Compute ``loss_pixel`` and, where they are set, ``loss_gradient`` and ``loss_feature``.

        The true images ``gt_img`` are ``(B, 3, H, W)`` in [0, 1].

        Raises:
            ValueError: They are missing or of another size.
        """
        if gt_img is None:
            raise ValueError("super-resolution needs gt_img to train; add mms_ocr.PackWordPair")
        if tuple(gt_img.shape[-2:]) != self.size:
            raise ValueError(
                f"the true images are {tuple(gt_img.shape[-2:])} and the encoder's {self.size} "
                "(height, width); set the same size in the pipeline and as img_size"
            )
        predicted = self.compute_pixels(inputs)
        losses = {"loss_pixel": CRITERIA[self.criterion](predicted, gt_img)}
        if self.gradient_loss is not None:
            losses["loss_gradient"] = self.gradient_loss(predicted, gt_img)
        if self.feature_loss is not None:
            losses["loss_feature"] = self.feature_loss(predicted, gt_img)
        return losses

    @torch.no_grad()
    def predict(
        self,
        inputs: Tensor,
        data_samples: list[BaseDataElement] | None = None,
        gt_img: Tensor | None = None,
    ) -> list[BaseDataElement]:
        """Restore images: RGB ``(3, H, W)`` in [0, 1] in the samples, on the CPU.

        They are ``pred_img``, ``bicubic_img`` (the enlarged input) and, if known, ``gt_img``.
        """
        samples = data_samples or [BaseDataElement() for _ in inputs]
        enlarged = enlarge(inputs, self.size)
        images = {
            "pred_img": self.restore(enlarged).clamp(0, 1),
            "bicubic_img": self.data_preprocessor.unit_range(enlarged).clamp(0, 1),
        }
        if gt_img is not None:
            images["gt_img"] = gt_img
        for name, batch in images.items():
            for sample, image in zip(samples, batch.float().cpu()):
                sample.set_field(image, name)
        return samples
