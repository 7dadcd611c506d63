"""Data preprocessor of pretraining: normalized images and the masks of the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine import dist
from mmengine.logging import MessageHub
from torch import Tensor

from mms_ocr.masking import MaskGenerator, MaskViews
from mms_ocr.models.image_preprocessor import ImagePreprocessor
from mms_ocr.registry import MODELS, TASK_UTILS

# Evaluation masks are drawn for blocks of consecutive sample indices.
EVALUATION_BLOCK = 256


def mixed_seed(*parts: int) -> int:
    """Mix integers to a seed for :class:`torch.Generator`."""
    state = np.random.SeedSequence([part % 2**32 for part in parts]).generate_state(2)
    return int(state[0]) << 31 | int(state[1]) >> 1


@MODELS.register_module()
class MaskedTextDataPreprocessor(ImagePreprocessor):
    """Normalizes word images on the device, and draws the masks of the batch there.

    In training, masks depend on the seed, the rank and the iteration only, so that a resumed run
    draws the same masks. In evaluation every image has a view per strategy, whose mask depends on
    the seed and the image's ``sample_idx`` only, not on batch size or number of processes.

    Args:
        mask_generator: A mask generator or its config.
        seed: Seed of the masks; None takes the seed of the run, torch's initial one.
        **kwargs: Arguments of :class:`~mms_ocr.models.image_preprocessor.ImagePreprocessor`.
    """

    def __init__(
        self,
        mask_generator: MaskGenerator | dict[str, Any],
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        is_config = isinstance(mask_generator, dict)
        self.mask_generator: Any = TASK_UTILS.build(mask_generator) if is_config else mask_generator
        self.seed = seed
        self._generators: dict[str, torch.Generator] = {}
        self._drawn_at = (-1, 0)
        self._evaluation_blocks: dict[tuple[int, int, str], Tensor] = {}

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Normalize a batch, and add ``masks``, a :class:`~mms_ocr.masking.MaskViews`.

        Args:
            data: ``inputs``, uint8 images ``(3, H, W)`` in a list or ``(B, 3, H, W)``, which become
                float32 ``(B, 3, H, W)`` on the device; and optionally ``data_samples``.
            training: Draw training masks; else one view per strategy, the same every time.
        """
        inputs = self.normalize(self.stack(data["inputs"]))
        samples = data.get("data_samples")
        if training:
            masks = self._training_masks(len(inputs), inputs.device)
        else:
            indices = [
                i if sample is None else int(sample.get("sample_idx", i))
                for i, sample in enumerate(samples or [None] * len(inputs))
            ]
            masks = self._evaluation_masks(indices, inputs.device)
        return {"inputs": inputs, "data_samples": samples, "masks": masks}

    def denormalize(self, images: Tensor) -> Tensor:
        """Convert normalized images to uint8 RGB ``(B, 3, H, W)``."""
        pixels = images.float() * self.std + self.mean
        pixels = pixels if self.bgr_to_rgb else pixels.flip(1)
        return pixels.round().clamp(0, 255).byte()

    def _generator(self, device: torch.device, *parts: int) -> torch.Generator:
        key = str(device)
        if key not in self._generators:
            # Devices without a generator draw on the CPU.
            drawing = device if device.type in ("cpu", "cuda") else torch.device("cpu")
            self._generators[key] = torch.Generator(drawing)
        seed = torch.initial_seed() if self.seed is None else self.seed
        return self._generators[key].manual_seed(mixed_seed(seed, seed >> 32, *parts))

    def _training_masks(self, batch_size: int, device: torch.device) -> MaskViews:
        iteration = int(MessageHub.get_current_instance().get_info("iter", 0))
        last, repeats = self._drawn_at
        # Outside of a Runner, calls are counted instead of iterations.
        repeats = repeats + 1 if iteration == last else 0
        self._drawn_at = (iteration, repeats)
        rng = self._generator(device, dist.get_rank(), iteration, repeats)
        return self.mask_generator.views(batch_size, device, rng)

    def _evaluation_masks(self, indices: list[int], device: torch.device) -> MaskViews:
        strategies = self.mask_generator.each_strategy()
        count = len(strategies)
        masks = [
            torch.stack([self._evaluation_mask(index, i, device) for index in indices])
            for i in range(count)
        ]
        names = getattr(self.mask_generator, "names", (strategies[0].name,))
        return MaskViews(
            masks=tuple(masks),
            strategies=tuple(torch.full((len(indices),), i, device=device) for i in range(count)),
            names=names,
            weights=(1 / count,) * count,
            num_removed=tuple(strategy.num_removed for strategy in strategies),
            guaranteed=names,
        )

    def _evaluation_mask(self, index: int, strategy: int, device: torch.device) -> Tensor:
        """Return the mask ``(L,)`` of a sample under a strategy; blocks of masks are cached."""
        block, row = divmod(index, EVALUATION_BLOCK)
        key = (block, strategy, str(device))
        if key not in self._evaluation_blocks:
            if len(self._evaluation_blocks) > 64:
                self._evaluation_blocks.clear()
            # Drawn on the CPU, so that every device evaluates the same masks.
            rng = self._generator(torch.device("cpu"), 2**32 - 1, block, strategy)
            masks = self.mask_generator.each_strategy()[strategy](EVALUATION_BLOCK, "cpu", rng)
            self._evaluation_blocks[key] = masks.to(device)
        return self._evaluation_blocks[key][row]
