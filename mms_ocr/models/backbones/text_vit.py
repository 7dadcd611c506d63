"""Encoder of word images: a Vision Transformer on a rectangular grid of small patches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.utils import to_2tuple
from mmpretrain.models.backbones import VisionTransformer
from torch import Tensor

from mms_ocr.models.backbones.attention import use_attend
from mms_ocr.models.backbones.conv_stem import ConvStem
from mms_ocr.models.backbones.patches import gather_tokens, hide_patches, split_mask
from mms_ocr.models.backbones.positions import (
    find_sincos_grid,
    resize_positions,
    sincos_positions,
)
from mms_ocr.models.stored_settings import store_settings
from mms_ocr.models.strict_init import StrictInitModule
from mms_ocr.registry import MODELS

STEMS = ("patch", "conv")
OUT_TYPES = {"map": "featmap", "row": "featmap", "tokens": "raw", "cls_token": "cls_token"}


def _arch(width: int, num_layers: int, num_heads: int) -> dict[str, int]:
    return {
        "embed_dims": width,
        "num_layers": num_layers,
        "num_heads": num_heads,
        "feedforward_channels": 4 * width,
    }


@MODELS.register_module()
class TextViT(StrictInitModule, VisionTransformer):
    """Vision Transformer for word images (after arXiv 2010.11929), on MMPretrain's.

    Parameters are named as in MMPretrain's ``VisionTransformer``, so that its checkpoints and its
    layer decay work. The differences: positions are fixed sines and cosines on the true grid, and
    are resized from it; a mask may remove patches; the output may be a tensor, as MMOCR takes it.

    Args:
        arch: ``'nano'`` (128 wide, 4 layers, 4 heads), ``'tiny'`` (192, 12, 3), ``'small'`` (384,
            12, 6), ``'base'`` (768, 12, 12), or a dict as MMPretrain takes it.
        img_size: Height and width of a word image in pixels.
        patch_size: Side of a patch in pixels, or its height and width; divides ``img_size``.
        stem: ``'patch'`` for a linear layer on every patch, ``'conv'`` for convolutions on images
            with gray removed patches (:class:`~mms_ocr.models.backbones.conv_stem.ConvStem`).
        out_type: ``'map'`` for ``(B, C, H, W)``, ``'row'`` for the mean of its rows
            ``(B, C, 1, W)``, ``'tokens'`` for ``(B, 1 + H * W, C)`` with the class token first,
            ``'cls_token'`` for that alone ``(B, C)``.
        out_indices: Layers to return, negative ones from the end; -1 is the last. A number gives a
            tensor, as MMOCR's models take it; a list, such as ``[-1]``, gives a tuple, as those of
            MMPretrain, MMDetection and MMSegmentation take it.
        drop_path_rate: Stochastic depth of the last layer; earlier ones have proportionally less.
        frozen_stages: Layers to freeze, counted from the input, with the patch embedding; -1 none.
        checkpoint_grid: Grid (rows, columns) of the positions in checkpoints that do not store it.
            Files of this project store it, and fixed positions are recognized by value.
        **kwargs: Further arguments of MMPretrain's ``VisionTransformer``.

    Raises:
        ValueError: An argument is unknown or out of range, or the patch does not divide the image.
    """

    patch_embed: Any  # PatchEmbed of MMPretrain, or ConvStem
    arch_zoo = {
        "nano": _arch(128, 4, 4),
        "tiny": _arch(192, 12, 3),
        "small": _arch(384, 12, 6),
        "base": _arch(768, 12, 12),
    }

    def __init__(
        self,
        arch: str | dict[str, int] = "small",
        img_size: tuple[int, int] = (32, 128),
        patch_size: int | tuple[int, int] = 4,
        stem: str = "patch",
        out_type: str = "map",
        out_indices: int | Sequence[int] = -1,
        drop_path_rate: float = 0.0,
        frozen_stages: int = -1,
        checkpoint_grid: tuple[int, int] | None = None,
        init_cfg: dict | list[dict] | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(arch, str) and arch not in self.arch_zoo:
            raise ValueError(f"unknown arch {arch!r}; choose from {', '.join(self.arch_zoo)}")
        if stem not in STEMS:
            raise ValueError(f"stem must be one of {', '.join(STEMS)}, got {stem!r}")
        if out_type not in OUT_TYPES:
            raise ValueError(f"out_type must be one of {', '.join(OUT_TYPES)}, got {out_type!r}")
        widths = self.arch_zoo[arch] if isinstance(arch, str) else arch
        if not self.arch_zoo["small"].keys() <= widths.keys():
            raise ValueError(f"arch needs the keys {', '.join(self.arch_zoo['small'])}, got {arch}")
        depth = widths["num_layers"]
        if frozen_stages > depth:
            raise ValueError(
                f"frozen_stages is {frozen_stages}, and the encoder has {depth} layers"
            )
        self.single_output = isinstance(out_indices, int)
        #: Error of the model that the encoder is in, see output_kinds.py.
        self.output_mismatch: str | None = None
        indices = [out_indices] if isinstance(out_indices, int) else list(out_indices)
        if not indices or not all(-depth <= index < depth for index in indices):
            raise ValueError(f"out_indices must lie in [-{depth}, {depth - 1}], got {out_indices}")
        super().__init__(
            arch=arch,
            img_size=_checked_size(img_size, to_2tuple(patch_size)),
            patch_size=patch_size,
            out_type=OUT_TYPES[out_type],
            out_indices=[index % depth for index in indices],
            drop_path_rate=drop_path_rate,
            frozen_stages=frozen_stages,
            init_cfg=init_cfg,
            **kwargs,
        )
        #: Height and width of a patch in pixels.
        self.patch_size: tuple[int, int] = tuple(to_2tuple(patch_size))
        self.stem = stem
        if stem == "conv":
            self.patch_embed = ConvStem(
                self.patch_size, self.embed_dims, self.patch_embed.projection.in_channels
            )
            # The kernel of a patch embedding shows it.
            store_settings(self, patch_size=list(self.patch_size))
        self._one_row = out_type == "row"
        self.grid: tuple[int, int] = tuple(self.patch_resolution)
        self.checkpoint_grid = checkpoint_grid
        self.pos_embed.requires_grad = False
        self._set_positions()
        use_attend(self.layers)
        for part in self.layers.modules():
            if hasattr(part, "drop_prob"):  # of NumPy, which torch.compile cannot guard
                part.drop_prob = float(part.drop_prob)
        store_settings(self, checked=False, grid=list(self.grid))
        store_settings(self, num_heads=widths["num_heads"])

    def _set_positions(self) -> None:
        positions = sincos_positions(self.grid, self.embed_dims)
        self.pos_embed.data.zero_()[0, self.num_extra_tokens :].copy_(positions)

    def init_own_weights(self) -> None:
        """Initialize as MAE does: fixed positions, patch embedding as a linear layer."""
        self._set_positions()
        kernel = self.patch_embed.projection.weight.data
        torch.nn.init.xavier_uniform_(kernel.view(len(kernel), -1))
        if isinstance(self.patch_embed, ConvStem):
            self.patch_embed.init_own_weights()
        if self.cls_token is not None:
            torch.nn.init.normal_(self.cls_token, std=0.02)

    def train(self, mode: bool = True) -> TextViT:
        """Set training or evaluation mode; returns the module, as torch does."""
        super().train(mode)
        # MMPretrain freezes stages once, which any later call of train() undoes.
        if mode and self.frozen_stages > 0:
            self._freeze_stages()
        return self

    def forward(
        self, images: Tensor, mask: Tensor | None = None, num_removed: int | None = None
    ) -> Tensor | tuple[Tensor, ...]:
        """Encode word images, whole or under a mask.

        Args:
            images: Normalized, ``(B, 3, H, W)``; without a mask any size that the patch divides.
            mask: Bool ``(B, L)``, True = removed, the same number in every row.
            num_removed: That number, if it is known; avoids waiting for the device.

        Returns:
            One tensor of ``out_type`` without a mask, or a tuple of them where ``out_indices`` is
            a sequence. With a mask, tokens of the visible patches ``(B, 1 + N, C)``, class token
            first, and the patch indices of the visible ``(B, N)`` and the removed ones
            ``(B, num_removed)`` in reading order.

        Raises:
            ValueError: Images, patches, mask or the kind of output do not fit together.
        """
        if mask is not None:
            return self._forward_visible(images, mask, num_removed)
        if self.output_mismatch:
            raise ValueError(self.output_mismatch)
        tokens, grid = self._embed(images)
        tokens = self._prepend_class(tokens)
        outs = []
        for index, layer in enumerate(self.layers):
            tokens = layer(tokens)
            if index == self.num_layers - 1 and self.final_norm:
                tokens = self.ln1(tokens)
            if index in self.out_indices:
                outs.append(self._format_output(tokens, grid))
        return outs[0] if self.single_output else tuple(outs)

    def _forward_visible(
        self, images: Tensor, mask: Tensor, num_removed: int | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        rows, columns = self._grid_of(images)
        if mask.shape != (len(images), rows * columns):
            raise ValueError(
                f"the mask is {tuple(mask.shape)} and the images have (images, patches) = "
                f"{(len(images), rows * columns)}"
            )
        if self.stem == "conv":
            images = hide_patches(images, mask, self.patch_size)
        tokens, _ = self._embed(images)
        visible, removed = split_mask(mask, num_removed)
        tokens = self._prepend_class(gather_tokens(tokens, visible))
        for layer in self.layers:
            tokens = layer(tokens)
        if self.final_norm:
            tokens = self.ln1(tokens)
        return tokens, visible, removed

    def _embed(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Embed patches with positions ``(B, L, C)``, and return their grid."""
        grid = self._grid_of(images)
        positions = resize_positions(
            self.pos_embed, self.grid, grid, self.num_extra_tokens, self.interpolate_mode
        )
        return self.patch_embed(images)[0] + positions[:, self.num_extra_tokens :], grid

    def _grid_of(self, images: Tensor) -> tuple[int, int]:
        height, width = _checked_size(images.shape[-2:], self.patch_size)
        return height // self.patch_size[0], width // self.patch_size[1]

    def _format_output(self, x: Tensor, hw: tuple[int, int]) -> Tensor:
        out: Tensor = super()._format_output(x, hw)
        return out.mean(dim=2, keepdim=True) if self._one_row else out

    def _prepend_class(self, tokens: Tensor) -> Tensor:
        if self.cls_token is not None:
            class_token = self.cls_token + self.pos_embed[:, :1]
            tokens = torch.cat([class_token.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        return self.pre_norm(self.drop_after_pos(tokens))

    def _prepare_pos_embed(
        self, state_dict: dict[str, Tensor], prefix: str, metadata: dict[str, Any], *_: Any
    ) -> None:
        """Resize the positions of a checkpoint from their true grid to that of this model."""
        name = prefix + "pos_embed"
        if name not in state_dict:
            return
        positions = state_dict[name]
        num_patches = self.grid[0] * self.grid[1]
        grid = metadata.get("grid") or self.checkpoint_grid
        stored = grid[0] * grid[1] if grid else num_patches
        if self.cls_token is None and positions.shape[1] == stored + 1:
            positions = state_dict[name] = positions[:, 1:]
        if grid is None and positions.shape[1] == num_patches + self.num_extra_tokens:
            # As many positions as patches are used unchanged. MMPretrain gives rectangles the
            # positions of a square, with which such weights were trained.
            return
        if grid is None:
            grid = find_sincos_grid(positions[0, self.num_extra_tokens :])
            fault = "" if grid else "positions of a grid that the checkpoint does not store"
            if grid and grid[0] == grid[1] and metadata.get("square_positions"):
                fault = (
                    f"positions of a square of {grid[0]}×{grid[1]}, which the code that wrote them "
                    "gives to rectangles as well"
                )
            if grid is None or fault:
                raise ValueError(
                    f"{name} has {positions.shape[1]} {fault}; this model has {num_patches} "
                    f"patches on a grid of {self.grid[0]}×{self.grid[1]}: set "
                    "checkpoint_grid=(rows, columns) on TextViT to the grid they were trained on"
                )
        state_dict[name] = resize_positions(
            positions, (grid[0], grid[1]), self.grid, self.num_extra_tokens, self.interpolate_mode
        )


def _checked_size(size: Sequence[int], patch_size: tuple[int, int]) -> tuple[int, int]:
    if not isinstance(size, Sequence) or len(size) != 2:
        raise ValueError(f"img_size must be two numbers (height, width), got {size}")
    if any(side % patch or side < patch for side, patch in zip(size, patch_size)):
        height, width = patch_size
        raise ValueError(
            f"image size {size[0]}×{size[1]} is not divisible by the patch size "
            f"{height if height == width else f'{height}×{width}'}; resize the images, or choose "
            "another patch_size"
        )
    return int(size[0]), int(size[1])
