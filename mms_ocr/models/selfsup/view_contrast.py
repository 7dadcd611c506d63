"""Contrastive loss between masked views of an image."""

from __future__ import annotations

import torch
import torch.distributed.nn.functional as distributed
from mmengine import dist
from mmengine.model import BaseModule
from torch import Tensor, nn

from mms_ocr.registry import MODELS


def view_contrast_loss(
    anchors: Tensor, candidates: Tensor, image_of_candidate: Tensor, first: int, temperature: float
) -> Tensor:
    """Compute InfoNCE with several positives (SupCon, arXiv 2004.11362), averaged over anchors.

    Args:
        anchors: Unit vectors, ``(A, D)``.
        candidates: Unit vectors, ``(N, D)``, the anchors among them.
        image_of_candidate: Image of every candidate, ``(N,)``; those of one image are positives.
        first: Index of the first anchor among the candidates.
        temperature: Temperature of the similarities, above 0.
    """
    position = torch.arange(first, first + len(anchors), device=anchors.device)
    itself = position[:, None] == torch.arange(len(candidates), device=anchors.device)
    logits = (anchors @ candidates.t() / temperature).masked_fill(itself, float("-inf"))
    positive = (image_of_candidate[position][:, None] == image_of_candidate) & ~itself
    log_prob = logits.log_softmax(dim=1).masked_fill(~positive, 0)
    return -(log_prob.sum(dim=1) / positive.sum(dim=1)).mean()


@MODELS.register_module()
class ViewContrast(BaseModule):
    """Contrastive loss: views of an image attract, other images of the global batch repel.

    Args:
        embed_dim: Width of the encoder.
        dim: Width of the projection.
        temperature: Temperature of the softmax over similarities, above 0.
        weight: Weight of the loss, above 0.

    Raises:
        ValueError: Temperature or weight is not positive.
    """

    def __init__(
        self, embed_dim: int, dim: int = 128, temperature: float = 0.2, weight: float = 0.1
    ) -> None:
        super().__init__()
        if temperature <= 0 or weight <= 0:
            raise ValueError(
                f"temperature and weight must be positive, got {temperature} and {weight}"
            )
        self.temperature = temperature
        self.weight = weight
        self.projector = nn.Sequential(
            nn.Linear(embed_dim, embed_dim), nn.GELU(), nn.Linear(embed_dim, dim)
        )

    def forward(self, views: list[Tensor]) -> Tensor:
        """Compute the weighted loss of the views of a batch.

        There are at least two, each class token and visible tokens, ``(B, 1 + N, C)``.

        Raises:
            ValueError: There is only one view.
        """
        if len(views) < 2:
            raise ValueError(
                "the contrastive term compares views of an image and there is only one; use "
                "MultiMask with mode='joint' and at least two strategies"
            )
        embedded = [self.projector(tokens[:, 1:].mean(dim=1)).float() for tokens in views]
        anchors = nn.functional.normalize(torch.cat(embedded), dim=1)
        batch_size = len(views[0])
        image = torch.arange(batch_size, device=anchors.device).repeat(len(views))
        rank, world_size = dist.get_rank(), dist.get_world_size()
        candidates = anchors
        if world_size > 1:
            candidates = torch.cat(distributed.all_gather(anchors))
            image = torch.cat([image + batch_size * other for other in range(world_size)])
        first = rank * len(anchors)
        # Similarities divided by a small temperature need more digits than bf16 has.
        with torch.autocast(anchors.device.type, enabled=False):
            loss = view_contrast_loss(anchors, candidates, image, first, self.temperature)
        return self.weight * loss
