"""Pixel decoder, and the base class of segmentation and super-resolution."""

from __future__ import annotations

import math
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from mmengine.utils import to_2tuple
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from torch import Tensor, nn
from torch.nn import functional as F

from mms_ocr.models.backbones.attention import use_attend
from mms_ocr.models.backbones.output_kinds import describe_output
from mms_ocr.models.backbones.patches import unpatchify
from mms_ocr.models.backbones.positions import sincos_positions
from mms_ocr.models.stored_settings import store_settings
from mms_ocr.models.strict_init import StrictInitModule
from mms_ocr.registry import MODELS

#: Values of every pixel that the refining convolutions take beside the image.
_REFINED_CHANNELS = 8


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
        refine_channels: Channels of three 3x3 convolutions that compute the output from eight
            values of every pixel and from the image itself, whose edges are finer than patches;
            0 for none.
        refine_scale: The convolutions run at the resolution of the output over this integer, which
            divides the patch size; usually at that of the image.

    Raises:
        ValueError: The heads do not divide the width, or the scale not the patch size.
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
        refine_channels: int = 0,
        refine_scale: int = 1,
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
        self.refine: nn.Sequential | None = None
        #: Height and width of what the linear layer computes of a token.
        self.token_size: tuple[int, int] = to_2tuple(patch_size)
        token_channels = out_channels
        if refine_channels:
            if any(side % refine_scale for side in self.token_size):
                raise ValueError(f"refine_scale={refine_scale} does not divide {patch_size=}")
            height, width = self.token_size
            self.token_size = (height // refine_scale, width // refine_scale)
            token_channels = _REFINED_CHANNELS
            convolutions = (
                nn.Conv2d(token_channels + 3, refine_channels, 3, padding=1),
                nn.Conv2d(refine_channels, refine_channels, 3, padding=1),
                nn.Conv2d(refine_channels, out_channels * refine_scale**2, 3, padding=1),
            )
            for convolution in convolutions:  # twice as fast on a CPU as in the usual layout
                convolution.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            first, second, third = convolutions
            shuffle = nn.PixelShuffle(refine_scale)
            self.refine = nn.Sequential(first, nn.GELU(), second, nn.GELU(), third, shuffle)
        self.pred = nn.Linear(decoder_embed_dim, math.prod(self.token_size) * token_channels)
        store_settings(self, decoder_num_heads=decoder_num_heads, with_positions=with_positions)

    def init_own_weights(self) -> None:
        """Set the last layer to zero if ``starts_at_zero``."""
        if self.starts_at_zero:
            last: Any = self.refine[-2] if self.refine is not None else self.pred
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, feature_map: Tensor, images: Tensor | None = None) -> Tensor:
        """Decode a map ``(B, C, rows, columns)`` to images ``(B, c, rows * p, columns * p)``.

        Args:
            feature_map: Output of the encoder.
            images: Its input, ``(B, 3, H, W)`` of any size; needed with ``refine_channels``.

        Raises:
            ValueError: The input is no map, or the images are missing.
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
        pixels = unpatchify(self.pred(self.norm(tokens)), grid, self.token_size)
        if self.refine is None:
            return pixels
        if images is None:
            raise ValueError("a PixelDecoder with refine_channels needs the images as well")
        size = (pixels.shape[-2], pixels.shape[-1])
        if tuple(images.shape[-2:]) != size:
            images = F.interpolate(images, size=size, mode="bilinear", align_corners=False)
        joined = torch.cat([pixels, images.to(pixels)], dim=1)
        refined: Tensor = self.refine(joined.contiguous(memory_format=torch.channels_last))
        return refined.contiguous()

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
        pixels: Tensor = self.decoder(self.backbone(inputs), inputs)
        return pixels


def build_part(part: dict | nn.Module) -> Any:
    """Build a module from its config."""
    return MODELS.build(part) if isinstance(part, dict) else part
