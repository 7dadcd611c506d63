"""Self-attention decoder of masked pretraining, MAE's."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.utils import to_2tuple
from mmpretrain.models.necks import MAEPretrainDecoder
from torch import Tensor, nn

from mms_ocr.models.backbones.attention import use_attend
from mms_ocr.models.backbones.patches import gather_tokens
from mms_ocr.models.backbones.positions import sincos_positions
from mms_ocr.models.stored_settings import store_settings
from mms_ocr.models.strict_init import StrictInitModule
from mms_ocr.registry import MODELS


@MODELS.register_module()
class SelfAttentionDecoder(StrictInitModule, MAEPretrainDecoder):
    """MMPretrain's MAE decoder (arXiv 2111.06377) on a rectangular grid.

    Parameters have the same names. The output layer runs for the predicted patches only. The first
    arguments are those of :class:`~mms_ocr.models.CrossAttentionDecoder`, further ones those of
    ``MAEPretrainDecoder``.
    """

    predict_share = 1.0

    def __init__(
        self,
        grid: tuple[int, int],
        embed_dim: int,
        patch_size: int | tuple[int, int] = 4,
        decoder_embed_dim: int = 512,
        decoder_depth: int = 8,
        decoder_num_heads: int = 16,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            num_patches=grid[0] * grid[1],
            patch_size=max(to_2tuple(patch_size)),
            embed_dim=embed_dim,
            decoder_embed_dim=decoder_embed_dim,
            decoder_depth=decoder_depth,
            decoder_num_heads=decoder_num_heads,
            **kwargs,
        )
        height, width = to_2tuple(patch_size)
        if height != width:  # MMPretrain's patches are square
            self.decoder_pred: nn.Module = nn.Linear(decoder_embed_dim, height * width * 3)
        self.grid = (grid[0], grid[1])
        self._set_positions()
        use_attend(self.decoder_blocks)
        store_settings(self, decoder_num_heads=decoder_num_heads)

    def _set_positions(self) -> None:
        positions = self.decoder_pos_embed
        positions.data.zero_()
        positions.data[0, 1:].copy_(sincos_positions(self.grid, positions.shape[-1]))

    def init_own_weights(self) -> None:
        """Initialize as MMPretrain does, with the positions of the true grid."""
        self._set_positions()
        torch.nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, tokens: Tensor, visible: Tensor, predicted: Tensor) -> Tensor:
        """Predict pixels of removed patches; see :meth:`CrossAttentionDecoder.forward`."""
        tokens = self.decoder_embed(tokens)
        patches = self.mask_token.to(tokens.dtype).repeat(tokens.shape[0], self.num_patches, 1)
        index = visible.unsqueeze(-1).expand(-1, -1, tokens.shape[-1])
        patches = patches.scatter(1, index, tokens[:, 1:])
        hidden = torch.cat([tokens[:, :1], patches], dim=1) + self.decoder_pos_embed
        for block in self.decoder_blocks:
            hidden = block(hidden)
        return self.decoder_pred(self.decoder_norm(gather_tokens(hidden, predicted + 1)))
