"""MMS: masked pretraining with several masking strategies (arXiv 2505.06855)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from mmengine.structures import BaseDataElement
from mmpretrain.models.selfsup import BaseSelfSupervisor
from torch import Tensor

from mms_ocr.masking import MaskViews
from mms_ocr.masking.base import uniform
from mms_ocr.models.backbones.patches import hide_patches
from mms_ocr.models.strict_init import StrictInitModule
from mms_ocr.registry import MODELS


class DecodedView(NamedTuple):
    """Output of the decoder for a view of a batch."""

    tokens: Tensor  # visible tokens of the encoder, (B, 1 + N, C)
    pred: Tensor  # predicted pixels, (B, M, p * q * 3)
    predicted: Tensor  # indices of the predicted patches, (B, M)
    images: Tensor  # (B, 3, H, W)


@MODELS.register_module()
class MMS(StrictInitModule, BaseSelfSupervisor):
    """Masked autoencoder of word images, with one or several masked views of every image.

    The mask generator of the data preprocessor makes the views: one of a sampled strategy (mixed)
    or one of each (joint). Views that remove the same number of patches are one batch.

    Args:
        backbone: The encoder, :class:`~mms_ocr.models.TextViT` or its config.
        neck: The decoder or its config; ``grid`` and ``embed_dim`` are taken from the encoder.
        head: Targets and error, or their config; ``patch_size`` is taken from the encoder.
        data_preprocessor: Preprocessor or config; its masks must have the grid of the encoder.
        contrast: Config of a term between views, such as
            :class:`~mms_ocr.models.ViewContrast`; None for none.

    Raises:
        ValueError: The masks have another grid than the encoder, or the encoder has no class token.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        data_preprocessor: dict,
        contrast: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        encoder = MODELS.build(backbone) if isinstance(backbone, dict) else backbone
        if encoder.cls_token is None:
            raise ValueError(
                "the decoders expect a class token; take with_cls_token=False out of the backbone"
            )
        shared = {
            "grid": encoder.grid,
            "embed_dim": encoder.embed_dims,
            "patch_size": encoder.patch_size,
        }
        if isinstance(neck, dict):
            neck = MODELS.build(shared | neck)
        if isinstance(head, dict):
            head = MODELS.build({"patch_size": encoder.patch_size} | head)
        if isinstance(data_preprocessor, dict):
            data_preprocessor = MODELS.build(data_preprocessor)
        super().__init__(
            backbone=encoder,
            neck=neck,
            head=head,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        generator = getattr(self.data_preprocessor, "mask_generator", None)
        if generator is not None and generator.grid != encoder.grid:
            raise ValueError(
                f"masks are drawn on a grid of {generator.grid[0]}×{generator.grid[1]} patches and "
                f"the encoder's is {encoder.grid[0]}×{encoder.grid[1]}; set the mask generator's "
                "grid to image size / patch size"
            )
        self.contrast = None
        if contrast:
            self.contrast = MODELS.build({"embed_dim": encoder.embed_dims} | contrast)

    def forward(
        self,
        inputs: Tensor,
        data_samples: list | None = None,
        mode: str = "tensor",
        masks: MaskViews | None = None,
    ) -> Any:
        """Run ``loss`` or ``predict``, or as ``'tensor'`` the encoder alone.

        Inputs are normalized images, ``(B, 3, H, W)``; ``masks`` are the views of the batch.

        Raises:
            ValueError: Loss or prediction gets no masks.
        """
        if mode in ("loss", "predict"):
            if masks is None:
                raise ValueError(
                    "MMS got no masks; its data_preprocessor must be "
                    "mms_ocr.MaskedTextDataPreprocessor"
                )
            return getattr(self, mode)(inputs, data_samples, masks)
        return super().forward(inputs, data_samples, mode)

    def loss(
        self, inputs: Tensor, data_samples: list | None, masks: MaskViews
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch; see :meth:`forward`.

        ``loss_pixel`` is the error of the removed patches, averaged over images and, by weight,
        over views; ``loss_contrast`` that term; ``error_<strategy>`` are for the log.
        """
        views = self._decode_views(inputs, masks, self.neck.predict_share)
        errors = [self.head.errors(view.pred, view.images, view.predicted) for view in views]
        total = sum(weight * error.mean() for weight, error in zip(masks.weights, errors))
        losses = {"loss_pixel": total}
        if self.contrast is not None:
            # Grouped views have different images.
            comparable = views if masks.images is None else views[:1]
            losses["loss_contrast"] = self.contrast([view.tokens for view in comparable])
        return losses | _errors_by_strategy(errors, masks)

    @torch.no_grad()
    def predict(
        self, inputs: Tensor, data_samples: list | None, masks: MaskViews
    ) -> list[BaseDataElement]:
        """Compute errors and reconstructions of every image; see :meth:`forward`.

        The samples get ``image`` (uint8 RGB ``(3, H, W)``) and, by strategy, ``masked_error`` (over
        all removed patches), ``masked_image`` and ``reconstruction``.
        """
        samples = data_samples or [BaseDataElement() for _ in inputs]
        to_pixels = self.data_preprocessor.denormalize
        for sample, image in zip(samples, to_pixels(inputs).cpu()):
            sample.image = image
            sample.masked_error, sample.masked_image, sample.reconstruction = {}, {}, {}
        views = self._decode_views(inputs, masks, 1.0)
        everything = torch.arange(len(inputs), device=inputs.device)
        for number, (view, mask) in enumerate(zip(views, masks.masks)):
            errors = self.head.errors(view.pred, view.images, view.predicted).tolist()
            hidden = to_pixels(hide_patches(view.images, mask, self.backbone.patch_size)).cpu()
            filled = to_pixels(self.head.reconstruct(view.pred, view.images, view.predicted)).cpu()
            places = masks.select(number, everything).tolist()
            for i, index in enumerate(masks.strategies[number].tolist()):
                sample, name = samples[places[i]], masks.names[index]
                sample.masked_error[name] = errors[i]
                sample.masked_image[name] = hidden[i]
                sample.reconstruction[name] = filled[i]
        return samples

    def _decode_views(self, inputs: Tensor, masks: MaskViews, share: float) -> list[DecodedView]:
        """Encode and decode every view, those with equal numbers of patches in one pass."""
        decoded: dict[int, DecodedView] = {}
        for count in dict.fromkeys(masks.num_removed):
            members = [view for view, removed in enumerate(masks.num_removed) if removed == count]
            stacked = torch.cat([masks.masks[view] for view in members])
            images = torch.cat([masks.select(view, inputs) for view in members])
            tokens, visible, removed = self.backbone(images, stacked, num_removed=count)
            predicted = _sample(removed, share)
            pred = self.neck(tokens, visible, predicted)
            sizes = [len(masks.masks[view]) for view in members]
            parts = zip(*(tensor.split(sizes) for tensor in (tokens, pred, predicted, images)))
            decoded |= {view: DecodedView(*part) for view, part in zip(members, parts)}
        return [decoded[view] for view in range(len(masks.masks))]


def _sample(removed: Tensor, share: float) -> Tensor:
    """Sample a share of the removed patches, the same number in every row."""
    if share == 1:
        return removed
    count = max(1, round(share * removed.shape[1]))
    chosen = uniform(tuple(removed.shape), removed.device, None).topk(count, dim=1).indices
    return removed.gather(1, chosen)


def _errors_by_strategy(errors: Sequence[Tensor], masks: MaskViews) -> dict[str, Tensor]:
    """Compute the mean error of every strategy that is in every batch, without gradient."""
    error = torch.cat([error.detach() for error in errors])
    strategy = torch.cat(list(masks.strategies))
    means = {}
    for name in masks.guaranteed:
        rows = (strategy == masks.names.index(name)).to(error)
        means[f"error_{name}"] = (error * rows).sum() / rows.sum()
    return means
