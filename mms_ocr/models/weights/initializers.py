"""``init_cfg`` types that load weights strictly."""

from __future__ import annotations

from typing import Any

from mmengine.model import BaseModule
from mmengine.model.weight_init import update_init_info
from mmengine.runner import CheckpointLoader
from torch import nn

from mms_ocr.models.weights.families import check_family, find_encoder
from mms_ocr.models.weights.files import read_state_dict
from mms_ocr.models.weights.loading import load_strictly
from mms_ocr.models.weights.naming import find_weights, strip_wrappers, take_part
from mms_ocr.models.weights.recognizers import find_recognizer, load_recognizer
from mms_ocr.registry import WEIGHT_INITIALIZERS
from mms_ocr.utils.bundled import SCHEME


class _FromCheckpoint:
    def __init__(self, checkpoint: str, family: str | None = None) -> None:
        check_family(family)
        self.checkpoint = checkpoint
        self.family = family


@WEIGHT_INITIALIZERS.register_module()
class PretrainedTextViT(_FromCheckpoint):
    """Loads a pretrained encoder into :class:`~mms_ocr.models.TextViT`, strictly.

    Use ``init_cfg=dict(type='mms_ocr.PretrainedTextViT', checkpoint='….pth')`` on the backbone of
    any model. A file that is missing raises FileNotFoundError; one that does not fit, ValueError.

    Args:
        checkpoint: ``'mms_ocr://NAME'`` for bundled weights; a checkpoint of an MMS run, of a model
            with such a backbone, or of an encoder alone; or one of MMPretrain, the official MAE,
            timm, or Union14M's MAERec.
        family: A name of :data:`~mms_ocr.models.weights.FAMILIES`; None detects it by the keys.
    """

    def __call__(self, module: nn.Module) -> None:
        """Load the weights."""
        encoder = find_encoder(read_state_dict(self.checkpoint), self.checkpoint, self.family)
        load_strictly(module, encoder.weights, f"{self.checkpoint} (family {encoder.family})")


@WEIGHT_INITIALIZERS.register_module()
class PretrainedRecognizer(_FromCheckpoint):
    """Loads a whole recognizer, encoder and decoder, strictly.

    Use ``init_cfg=dict(type='mms_ocr.PretrainedRecognizer', checkpoint='….pth')`` on the
    recognizer; no ``init_cfg`` of its parts is applied then.

    Args:
        checkpoint: A recognizer with our encoder, such as ``'mms_ocr://NAME'``, or Union14M's
            MAERec.
        family: As for :class:`PretrainedTextViT`.
    """

    def __call__(self, module: nn.Module) -> None:
        """Load the weights."""
        weights = find_recognizer(read_state_dict(self.checkpoint), self.checkpoint, self.family)
        load_recognizer(module, weights, f"{self.checkpoint} (family {weights.family})")
        _mark_loaded(module, self.checkpoint)


@WEIGHT_INITIALIZERS.register_module()
class PretrainedModel:
    """Loads a model or a part of one, strictly; no ``init_cfg`` of its parts is applied then.

    The modules of this package use it in place of MMEngine's ``Pretrained``.

    Args:
        checkpoint: A file, ``'mms_ocr://NAME'``, or a URL as MMEngine takes it. The names of the
            weights may have any prefix.
        prefix: Part of the checkpoint to load, such as ``'backbone.'``; None for all.
        map_location: Not used; weights are copied to the device of the module.
    """

    def __init__(
        self, checkpoint: str, prefix: str | None = None, map_location: Any = None
    ) -> None:
        self.checkpoint = checkpoint
        self.prefix = prefix

    def __call__(self, module: nn.Module) -> None:
        """Load the weights."""
        if "://" in self.checkpoint and not self.checkpoint.startswith(SCHEME):
            fetched = CheckpointLoader.load_checkpoint(self.checkpoint, map_location="cpu")
            weights = strip_wrappers(find_weights(fetched, self.checkpoint)[1], self.checkpoint)
        else:
            weights = read_state_dict(self.checkpoint)
        if self.prefix:
            weights = take_part(weights, self.prefix, self.checkpoint)
        load_strictly(module, weights, self.checkpoint)
        _mark_loaded(module, self.checkpoint)


def _mark_loaded(module: nn.Module, checkpoint: str) -> None:
    """Keep MMEngine from initializing the parts after the whole."""
    if hasattr(module, "_params_init_info"):  # while MMEngine initializes, for its log
        update_init_info(module, f"loaded from {checkpoint}")
    for part in module.modules():
        if part is not module and isinstance(part, BaseModule):
            part.is_init = True
