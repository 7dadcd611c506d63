"""Pixel decoder, and the base class of segmentation and super-resolution."""

from __future__ import annotations

import math
from typing import Any

from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from mmengine.utils import to_2tuple
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from torch import Tensor, nn

from mms_ocr.models.backbones.attention import use_attend
from mms_ocr.models.backbones.output_kinds import describe_output
from mms_ocr.models.backbones.patches import unpatchify
from mms_ocr.models.backbones.positions import sincos_positions
from mms_ocr.models.stored_settings import store_settings
from mms_ocr.models.strict_init import StrictInitModule
from mms_ocr.registry import MODELS


@MODELS.register_module()
class PixelDecoder(StrictInitModule):
    """Transformer blocks over the tokens of a map, and a linear layer to pixels.

    Depth, width and heads are those of CCD and SSM. Unlike theirs it adds positions, which a
    pretrained encoder may lose before its last layer.

    Args:
        embed_dim: Channels of the map; a linear layer follows if they are not the decoder's.
        out_channels: c, values of a pixel.
        patch_size: Side of a patch in pixels, or its height and width.
        grid: Usual rows and columns of the maps; others work as well.
        decoder_embed_dim: Width of the decoder; a multiple of its heads, and of 4 with positions.
        decoder_depth: Blocks.
        decoder_num_heads: Heads; they divide the width.
        ffn_ratio: Hidden width of the feed-forward networks over the decoder's width.
        drop_path_rate: Stochastic depth of every block.
        with_positions: Whether fixed sine-cosine positions are added to the tokens.

    Raises:
        ValueError: The heads do not divide the width.
    """

    def __init__(
        self,
        embed_dim: int,
        out_channels: int,
        patch_size: int | tuple[int, int] = 4,
        grid: tuple[int, int] = (8, 32),
        decoder_embed_dim: int = 384,
        decoder_depth: int = 3,
        decoder_num_heads: int = 2,
        ffn_ratio: int = 4,
        drop_path_rate: float = 0.0,
        with_positions: bool = True,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(
            init_cfg
            or [
                dict(type="TruncNormal", layer="Linear", std=0.02),
                dict(type="Constant", layer="LayerNorm", val=1.0, bias=0.0),
            ]
        )
        if decoder_embed_dim % decoder_num_heads:
            raise ValueError(
                f"{decoder_num_heads} heads do not divide decoder_embed_dim={decoder_embed_dim}"
            )
        self.patch_size = patch_size
        self.grid = (grid[0], grid[1])
        self.with_positions = with_positions
        self.embed: nn.Module = nn.Identity()
        if embed_dim != decoder_embed_dim:
            self.embed = nn.Linear(embed_dim, decoder_embed_dim)
        if with_positions:
            positions = sincos_positions(self.grid, decoder_embed_dim)
            self.register_buffer("positions", positions[None], persistent=False)
        self.positions: Tensor
        self.blocks = nn.ModuleList(
            TransformerEncoderLayer(
                decoder_embed_dim,
                decoder_num_heads,
                ffn_ratio * decoder_embed_dim,
                drop_path_rate=drop_path_rate,
                norm_cfg=dict(type="LN", eps=1e-6),
            )
            for _ in range(decoder_depth)
        )
        use_attend(self.blocks)
        self.norm = nn.LayerNorm(decoder_embed_dim, eps=1e-6)
        #: Whether initialization sets the last layer to zero.
        self.starts_at_zero = False
        self.pred = nn.Linear(decoder_embed_dim, math.prod(to_2tuple(patch_size)) * out_channels)
        store_settings(self, decoder_num_heads=decoder_num_heads, with_positions=with_positions)

    def init_own_weights(self) -> None:
        """Set the last layer to zero if ``starts_at_zero``."""
        if self.starts_at_zero:
            nn.init.zeros_(self.pred.weight)
            nn.init.zeros_(self.pred.bias)

    def forward(self, feature_map: Tensor) -> Tensor:
        """Decode a map ``(B, C, rows, columns)`` to images ``(B, c, rows * p, columns * p)``.

        Raises:
            ValueError: The input is no map.
        """
        if not isinstance(feature_map, Tensor) or feature_map.dim() != 4:
            kind = describe_output(feature_map)
            raise ValueError(f"PixelDecoder takes a map (B, C, H, W), got {kind}")
        grid = (feature_map.shape[-2], feature_map.shape[-1])
        tokens = self.embed(feature_map.flatten(2).transpose(1, 2))
        if self.with_positions:
            tokens = tokens + self._positions_of(grid, tokens)
        for block in self.blocks:
            tokens = block(tokens)
        return unpatchify(self.pred(self.norm(tokens)), grid, self.patch_size)

    def _positions_of(self, grid: tuple[int, int], tokens: Tensor) -> Tensor:
        if grid == self.grid:
            return self.positions
        return sincos_positions(grid, tokens.shape[-1]).to(tokens.device)[None]


class PixelModel(StrictInitModule, BaseModel):
    """Base class of models of an encoder and a pixel decoder.

    The config of the decoder defaults to the sizes of the encoder and ``out_channels``. The other
    arguments are those of MMEngine's ``BaseModel``.
    """

    def __init__(
        self,
        backbone: dict | nn.Module,
        decoder: dict | nn.Module,
        out_channels: int,
        data_preprocessor: dict | nn.Module | None,
        init_cfg: dict | list[dict] | None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = build_part(backbone)
        defaults = dict(
            embed_dim=self.backbone.embed_dims,
            grid=self.backbone.grid,
            patch_size=self.backbone.patch_size,
            out_channels=out_channels,
        )
        self.decoder = build_part(defaults | decoder if isinstance(decoder, dict) else decoder)

    def forward(
        self,
        inputs: Tensor,
        data_samples: list[BaseDataElement] | None = None,
        mode: str = "tensor",
        **truth: Tensor | None,
    ) -> Any:
        """Run ``loss`` or ``predict``, or as ``'tensor'`` ``compute_pixels``.

        Inputs are normalized images, ``(B, 3, H, W)``; ``truth`` is for the first two.

        Raises:
            ValueError: The mode is unknown.
        """
        if mode == "loss":
            return self.loss(inputs, data_samples, **truth)
        if mode == "predict":
            return self.predict(inputs, data_samples, **truth)
        if mode == "tensor":
            return self.compute_pixels(inputs)
        raise ValueError(f"mode must be 'loss', 'predict' or 'tensor', got {mode!r}")

    def compute_pixels(self, inputs: Tensor) -> Tensor:
        """Encode and decode images."""
        pixels: Tensor = self.decoder(self.backbone(inputs))
        return pixels


def build_part(part: dict | nn.Module) -> Any:
    """Build a module from its config."""
    return MODELS.build(part) if isinstance(part, dict) else part
