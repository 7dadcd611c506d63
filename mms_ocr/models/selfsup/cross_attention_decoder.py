"""Cross-attention decoder of masked pretraining, after CrossMAE."""

from __future__ import annotations

import math

import torch
from mmengine.utils import to_2tuple
from torch import Tensor, nn

from mms_ocr.models.backbones.attention import attend
from mms_ocr.models.backbones.patches import gather_tokens
from mms_ocr.models.backbones.positions import sincos_positions
from mms_ocr.models.stored_settings import store_settings
from mms_ocr.models.strict_init import StrictInitModule
from mms_ocr.registry import MODELS


class CrossAttentionBlock(nn.Module):
    """Pre-norm block: attention from queries to a memory, then a feed-forward network."""

    def __init__(self, dim: int, num_heads: int, ffn_ratio: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.ffn = nn.Sequential(
            nn.Linear(dim, ffn_ratio * dim), nn.GELU(), nn.Linear(ffn_ratio * dim, dim)
        )

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        """Attend from queries ``(B, M, D)`` to the memory ``(B, N, D)``."""
        query = self._split_heads(self.query(self.norm1(queries)))
        key, value = (self._split_heads(part) for part in self.key_value(memory).chunk(2, dim=-1))
        attended = attend(query, key, value)
        queries = queries + self.proj(attended.transpose(1, 2).flatten(2))
        return queries + self.ffn(self.norm2(queries))

    def _split_heads(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


@MODELS.register_module()
class CrossAttentionDecoder(StrictInitModule):
    """Decoder without self-attention, after CrossMAE (arXiv 2401.14391).

    Mask tokens attend to visible tokens only, so that training on a sampled share of them costs
    that share of the decoder. Unlike CrossMAE's, the memory has positions.

    Args:
        grid: Rows and columns of the patch grid.
        embed_dim: Width of the encoder.
        patch_size: Side of a patch in pixels, or its height and width.
        decoder_embed_dim: Width of the decoder; a multiple of 4 and of the heads.
        decoder_depth: Blocks.
        decoder_num_heads: Heads.
        ffn_ratio: Hidden width of the feed-forward networks over the decoder's width.
        predict_share: Share of the removed patches that training predicts, in (0, 1].

    Raises:
        ValueError: ``predict_share`` is out of range, or the heads do not divide the width.
    """

    def __init__(
        self,
        grid: tuple[int, int],
        embed_dim: int,
        patch_size: int | tuple[int, int] = 4,
        decoder_embed_dim: int = 256,
        decoder_depth: int = 4,
        decoder_num_heads: int = 8,
        ffn_ratio: int = 4,
        predict_share: float = 1.0,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if not 0 < predict_share <= 1:
            raise ValueError(f"predict_share must lie in (0, 1], got {predict_share}")
        if decoder_embed_dim % decoder_num_heads:
            raise ValueError(
                f"{decoder_num_heads} heads do not divide decoder_embed_dim={decoder_embed_dim}"
            )
        self.grid = (grid[0], grid[1])
        self.predict_share = predict_share
        self.embed = nn.Linear(embed_dim, decoder_embed_dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_embed_dim))
        positions = sincos_positions(self.grid, decoder_embed_dim)
        self.register_buffer("positions", positions[None], persistent=False)
        self.positions: Tensor
        self.memory_norm = nn.LayerNorm(decoder_embed_dim, eps=1e-6)
        self.blocks = nn.ModuleList(
            CrossAttentionBlock(decoder_embed_dim, decoder_num_heads, ffn_ratio)
            for _ in range(decoder_depth)
        )
        self.norm = nn.LayerNorm(decoder_embed_dim, eps=1e-6)
        self.pred = nn.Linear(decoder_embed_dim, math.prod(to_2tuple(patch_size)) * 3)
        store_settings(self, decoder_num_heads=decoder_num_heads)

    def init_own_weights(self) -> None:
        """Initialize the mask token: normal with standard deviation 0.02."""
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, tokens: Tensor, visible: Tensor, predicted: Tensor) -> Tensor:
        """Predict pixels ``(B, M, p * q * 3)`` of removed patches.

        Args:
            tokens: Tokens of the encoder, ``(B, 1 + N, C)``, class token first.
            visible: Patch indices of the tokens, ``(B, N)``.
            predicted: Indices of the patches to predict, ``(B, M)``.
        """
        positions = self.positions.expand(tokens.shape[0], -1, -1)
        memory = self.embed(tokens)
        located = memory[:, 1:] + gather_tokens(positions, visible)
        memory = self.memory_norm(torch.cat([memory[:, :1], located], dim=1))
        queries = self.mask_token + gather_tokens(positions, predicted)
        for block in self.blocks:
            queries = block(queries, memory)
        return self.pred(self.norm(queries))
