"""``init_cfg`` types that load weights strictly."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from mmengine.model.weight_init import update_init_info
from torch import Tensor, nn

from mms_ocr.compat.running import download_once
from mms_ocr.models.weights.families import check_family, find_encoder, find_recognizer
from mms_ocr.models.weights.files import read_state_dict
from mms_ocr.models.weights.loading import load_strictly
from mms_ocr.models.weights.naming import list_names, take_part
from mms_ocr.registry import WEIGHT_INITIALIZERS

# Layers with a row for each class.
CLASS_ROWS = ("decoder.trg_word_emb.", "decoder.classifier.", "decoder.auxiliary.classifier.")


class _FromCheckpoint:
    def __init__(self, checkpoint: str, family: str | None = None) -> None:
        check_family(family)
        self.checkpoint = checkpoint
        self.family = family


@WEIGHT_INITIALIZERS.register_module()
class PretrainedTextViT(_FromCheckpoint):
    """Loads a pretrained encoder into :class:`~mms_ocr.models.TextViT`, strictly.

    A missing file raises FileNotFoundError; one that does not fit, ValueError. Use it on the
    backbone of any model: ``init_cfg=dict(type='mms_ocr.PretrainedTextViT', checkpoint='….pth')``.

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

    No ``init_cfg`` of its parts is applied then. If the file stores its characters, they must be
    those of the decoder's dictionary, in any order; ValueError otherwise, or if weights do not fit.

    The rows of a new character are drawn from a normal distribution with the mean and the variance
    of the rows of the known ones, which train faster than equal or smaller ones. The logits of the
    known ones stay as they are, and a trained recognizer reads as before: on words without new
    characters their probabilities are about 1e-5.

    Args:
        checkpoint: A recognizer with our encoder (``'mms_ocr://NAME'``), or Union14M's MAERec.
        family: As for :class:`PretrainedTextViT`.
        new_characters: Whether the dictionary may have characters that the checkpoint does not
            know. The file must store its characters then.
        shift: ``dict(before=…, after=…, scale=…)`` adds to the encoder ``scale`` times what further
            pretraining changed: the difference of two checkpoints of the encoder, of which
            ``before`` is the one that the recognizer was fine-tuned from. This is the task
            arithmetic of Ilharco et al., "Editing models with task arithmetic" (ICLR 2023).
            Running statistics of batch normalization stay, which masked images change.
    """

    def __init__(
        self,
        checkpoint: str,
        family: str | None = None,
        new_characters: bool = False,
        shift: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(checkpoint, family)
        self.new_characters = new_characters
        if shift is not None and set(shift) != {"before", "after", "scale"}:
            raise ValueError(f"shift takes before, after and scale, got {dict(shift)}")
        self.shift = shift

    def __call__(self, module: nn.Module) -> None:
        """Load the weights."""
        recognizer = find_recognizer(read_state_dict(self.checkpoint), self.checkpoint, self.family)
        weights, path = recognizer.weights, f"{self.checkpoint} (family {recognizer.family})"
        dictionary = getattr(getattr(module, "decoder", None), "dictionary", None)
        if dictionary is not None and recognizer.classes is not None:
            new = _unknown_characters(dictionary, recognizer.classes) if self.new_characters else []
            weights = _in_order(weights, recognizer.classes, dictionary, new, path)
        elif self.new_characters:
            raise ValueError(
                f"{path} does not store its characters, so that none can be added; set "
                "new_characters=False, or take the encoder alone (mms_ocr.PretrainedTextViT)"
            )
        if self.shift:
            weights = _shift_encoder(weights, path, **self.shift)
        load_strictly(module, weights, path)
        _mark_loaded(module, self.checkpoint)


@WEIGHT_INITIALIZERS.register_module()
class PretrainedModel:
    """Loads a model or a part of one, strictly; no ``init_cfg`` of its parts is applied then.

    The modules of this package use it in place of MMEngine's ``Pretrained``.

    Args:
        checkpoint: A file, ``'mms_ocr://NAME'``, or a URL (http, https), with any prefix of names.
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
        path = self.checkpoint
        is_url = path.startswith(("http://", "https://"))
        weights: Any = read_state_dict(download_once(path) if is_url else path)
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


def _special_tokens(dictionary: Any) -> set[str]:
    """Return the tokens of a dictionary that are no characters: padding, unknown, start, end."""
    names = ("padding_idx", "unknown_idx", "start_idx", "end_idx")
    indices = {getattr(dictionary, name) for name in names} - {None}
    return {dictionary.dict[index] for index in indices}


def _unknown_characters(dictionary: Any, classes: Sequence[str]) -> list[str]:
    special = _special_tokens(dictionary)
    return [token for token in dictionary.dict if token not in classes and token not in special]


def _shift_encoder(
    weights: dict[str, Tensor], path: str, before: str, after: str, scale: float
) -> dict[str, Tensor]:
    """Add ``scale`` times the difference of two encoders to that of a recognizer."""
    old, new = (find_encoder(read_state_dict(name), name).weights for name in (before, after))
    shifted: Any = OrderedDict(weights)
    shifted._metadata = getattr(weights, "_metadata", {})
    for key, value in old.items():
        name = f"backbone.{key}"
        if not value.is_floating_point() or key.endswith((".running_mean", ".running_var")):
            continue
        stored = [weights.get(name), value, new.get(key)]
        shapes = [None if each is None else tuple(each.shape) for each in stored]
        if len(set(shapes)) != 1:
            raise ValueError(
                f"the encoder of {path} cannot be shifted from {before} to {after}: {name} has the "
                f"shapes {', '.join(map(str, shapes))} there; give checkpoints of one encoder"
            )
        change = new[key].float() - value.float()
        shifted[name] = (weights[name].float() + scale * change).to(weights[name].dtype)
    return shifted


def _in_order(
    weights: dict[str, Tensor],
    classes: Sequence[str],
    dictionary: Any,
    new: Sequence[str],
    path: str,
) -> dict[str, Tensor]:
    """Sort the decoder's rows in the order of a dictionary; add rows of ``new`` characters."""
    tokens = dictionary.dict
    unknown = [repr(token) for token in tokens if token not in classes and token not in new]
    unused = [repr(token) for token in classes if token not in tokens]
    if unknown or unused:
        parts = ((unknown, "unknown to the checkpoint"), (unused, "too few"))
        faults = [f"{len(part)} {what} ({list_names(part)})" for part, what in parts if part]
        raise ValueError(
            f"{path} was trained on other characters: the dictionary has {', and '.join(faults)}; "
            "give the decoder the dictionary of the checkpoint, or take the encoder alone "
            "(mms_ocr.PretrainedTextViT)"
        )
    special = _special_tokens(dictionary)
    known = torch.tensor([index for index, token in enumerate(classes) if token not in special])
    rows = [*classes, *new]
    order = torch.tensor([rows.index(token) for token in tokens])
    ordered: Any = OrderedDict(weights)
    metadata = getattr(weights, "_metadata", {})
    ordered._metadata = {**metadata}
    for part in ("decoder", "decoder.auxiliary"):
        ordered._metadata[part] = {**metadata.get(part, {}), "classes": list(tokens)}
    for key, value in weights.items():
        # Loading reports other lengths.
        if key.startswith(CLASS_ROWS) and len(value) == len(classes):
            spread, mean = torch.std_mean(value[known].float(), dim=0, correction=0)
            drawn = mean + spread * torch.randn(len(new), *value.shape[1:])
            ordered[key] = torch.cat([value, drawn.to(value.dtype)])[order]
    return ordered
