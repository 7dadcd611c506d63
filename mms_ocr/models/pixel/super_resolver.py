"""TextSuperResolver: small word images twice as large and sharp."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn
from torch.nn import functional as F

from mms_ocr.models.stored_settings import store_settings
from mms_ocr.models.strict_init import StrictInitModule
from mms_ocr.registry import MODELS

CRITERIA = {"L1": F.l1_loss, "L2": F.mse_loss}


def enlarge(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images ``(B, C, H, W)`` at another size, by bicubic interpolation.

    Torch's and OpenCV's kernel (a = -0.75), the corners of the outermost pixels staying where they
    are. This is the bicubic baseline of all numbers here; TextZoom's own aligns the centers.
    """
    return F.interpolate(images, size=size, mode="bicubic", align_corners=False)


@MODELS.register_module()
class TextSuperResolver(StrictInitModule, BaseModel):
    """Super-resolution with the encoder of word images and the small pixel decoder.

    A small image is enlarged to the size of the encoder by bicubic interpolation, encoded and
    decoded to pixels. With the residual path the decoder predicts what is to be added to the
    enlarged image: training starts from the bicubic image itself, since the last layer starts at
    zero, and colors and even areas need not pass through the tokens. Without it the decoder
    predicts all of the image, as in the released code of CCD and SSM.

    Args:
        backbone: The encoder, :class:`~mms_ocr.models.TextViT` or its config.
        decoder: :class:`~mms_ocr.models.PixelDecoder` or its config; ``embed_dim``, ``grid``,
            ``patch_size`` and ``out_channels=3`` are taken from the encoder.
        data_preprocessor: :class:`~mms_ocr.models.WordPairDataPreprocessor` or its config.
        residual: Whether the decoder's output is added to the enlarged image.
        criterion: ``'L2'`` or ``'L1'``, the mean over all values of images in [0, 1].
        gradient_loss: A further term, such as :class:`~mms_ocr.models.GradientProfileLoss`, or its
            config; None for none.
        init_cfg: Initialization, as everywhere in MMEngine.

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
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if criterion not in CRITERIA:
            raise ValueError(f"criterion must be 'L1' or 'L2', got {criterion!r}")
        if data_preprocessor is None:
            data_preprocessor = dict(type="mms_ocr.WordPairDataPreprocessor")
        super().__init__(_built(data_preprocessor), init_cfg)
        self.backbone = _built(backbone)
        expected = dict(
            embed_dim=self.backbone.embed_dims,
            grid=self.backbone.grid,
            patch_size=self.backbone.patch_size,
            out_channels=3,
        )
        self.decoder = _built(expected | decoder if isinstance(decoder, dict) else decoder)
        # What is to be added starts as nothing.
        self.decoder.starts_at_zero = residual
        self.residual = residual
        store_settings(self, residual=residual)
        self.criterion = criterion
        self.gradient_loss = None if gradient_loss is None else _built(gradient_loss)
        #: Height and width of the enlarged images, in pixels.
        self.size: tuple[int, int] = tuple(self.backbone.img_size)

    def forward(
        self,
        inputs: Tensor,
        data_samples: list[BaseDataElement] | None = None,
        mode: str = "tensor",
        gt_img: Tensor | None = None,
    ) -> Any:
        """One entry for training, prediction and plain tensors.

        Args:
            inputs: Normalized images, ``(B, 3, h, w)``, of any size.
            data_samples: Samples of the images.
            mode: ``'loss'``, ``'predict'`` or ``'tensor'``.
            gt_img: The true images in [0, 1], ``(B, 3, H, W)``; needed for losses.

        Returns:
            For ``'tensor'`` the images, ``(B, 3, H, W)``, black 0 and white 1, not clamped.

        Raises:
            ValueError: The mode is none of these, or the truth is missing or of another size.
        """
        if mode == "loss":
            return self.loss(inputs, data_samples, gt_img)
        if mode == "predict":
            return self.predict(inputs, data_samples, gt_img)
        if mode == "tensor":
            return self.restore(enlarge(inputs, self.size))
        raise ValueError(f"mode must be 'loss', 'predict' or 'tensor', got {mode!r}")

    def restore(self, enlarged: Tensor) -> Tensor:
        """Sharp images, black 0 and white 1, from normalized enlarged ones; ``(B, 3, H, W)``."""
        output = self.decoder(self.backbone(enlarged)).float()
        return self.data_preprocessor.unit_range(enlarged + output if self.residual else output)

    def loss(
        self,
        inputs: Tensor,
        data_samples: list[BaseDataElement] | None = None,
        gt_img: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Losses of a batch: ``loss_pixel`` and, if there is such a term, ``loss_gradient``."""
        if gt_img is None:
            raise ValueError("super-resolution learns from gt_img; add mms_ocr.PackWordPair")
        if tuple(gt_img.shape[-2:]) != self.size:
            raise ValueError(
                f"the true images are {tuple(gt_img.shape[-2:])} and the encoder's {self.size} "
                "(height, width); set the same size in the pipeline and as img_size"
            )
        predicted = self.restore(enlarge(inputs, self.size))
        losses = {"loss_pixel": CRITERIA[self.criterion](predicted, gt_img)}
        if self.gradient_loss is not None:
            losses["loss_gradient"] = self.gradient_loss(predicted, gt_img)
        return losses

    @torch.no_grad()
    def predict(
        self,
        inputs: Tensor,
        data_samples: list[BaseDataElement] | None = None,
        gt_img: Tensor | None = None,
    ) -> list[BaseDataElement]:
        """Sharp images beside what they came from.

        Returns:
            The samples, with RGB images ``(3, H, W)`` in [0, 1] on the CPU: ``pred_img``,
            ``bicubic_img`` (the enlarged input) and, where it is known, ``gt_img``.
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


def _built(module: dict | nn.Module) -> Any:
    return MODELS.build(module) if isinstance(module, dict) else module
