"""Encoders and recognizers in checkpoints of this project and of other libraries.

The names of each family were read off its published code, which :data:`FAMILIES` cites; no code was
taken from it.
"""

from __future__ import annotations

import re
import string
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from mms_ocr.models.weights.naming import choose_prefix, list_names

OUR_PATCHES = "patch_embed.projection.weight"
TIMM_PATCHES = "patch_embed.proj.weight"

# timm's names and MMPretrain's, inside a block and outside.
BLOCK_NAMES = {
    "norm1.": "ln1.",
    "attn.qkv.": "attn.qkv.",
    "attn.proj.": "attn.proj.",
    "norm2.": "ln2.",
    "mlp.fc1.": "ffn.layers.0.0.",
    "mlp.fc2.": "ffn.layers.1.",
}
OUTER_NAMES = {"patch_embed.proj.": "patch_embed.projection.", "norm.": "ln1."}

Weights = Mapping[str, Tensor]


class Family(NamedTuple):
    """Names of an encoder in a family of checkpoints."""

    timm_names: bool  # else MMPretrain's, which ours are
    others: tuple[str, ...] = ()  # starts of names under the same prefix, not of the encoder
    metadata: dict[str, Any] | None = None  # of the positions; None if the file stores it


# Fixed positions of a square, whatever the grid.
_SQUARE = {"square_positions": True}
#: The families of checkpoints that load, by name.
FAMILIES = {
    # An encoder of this project, alone or in any model.
    "mms": Family(False),
    # open-mmlab/mmpretrain, mmpretrain/models/backbones/vision_transformer.py and
    # mmpretrain/models/selfsup/mae.py
    "mmpretrain": Family(False, metadata=_SQUARE),
    # facebookresearch/mae, models_mae.py; Mountchicken/Union14M, mae/models_mae.py
    "mae": Family(True, ("decoder_", "mask_token"), _SQUARE),
    # huggingface/pytorch-image-models, timm/models/vision_transformer.py; also MAE's encoder alone
    "timm": Family(True, ("head.",), _SQUARE),
    # Mountchicken/Union14M, mmocr-dev-1.x/mmocr/models/common/backbones/vit.py and
    # mmocr-dev-1.x/configs/textrecog/maerec/_base_marec_vit_s.py. The positions are MAE's for
    # 16×16, and were fine-tuned on a grid of 8×32.
    "maerec": Family(True, metadata={"grid": [8, 32]}),
}


# Tokens of the outputs of Union14M's MAERec, in order. Source: Mountchicken/Union14M,
# mmocr-dev-1.x/dicts/english_digits_symbols_space.txt (the space is its last line), and the tokens
# that the dictionary of configs/textrecog/maerec/_base_marec_vit_s.py adds, in the order of MMOCR.
MAEREC_CLASSES = (
    *string.digits,
    *string.ascii_letters,
    *"!\"#$%&'()*+,-./:;<=>?@[\\]_`~ ",
    "<BOS/EOS>",
    "<PAD>",
    "<UKN>",
)


class EncoderWeights(NamedTuple):
    """Encoder of a state dict; ``weights`` have our names."""

    family: str
    prefix: str  # of the encoder's keys in the file
    weights: dict[str, Tensor]  # with unknown ones, which strict loading reports
    left_out: list[str]  # keys of the file that do not belong to the encoder


class RecognizerWeights(NamedTuple):
    """Recognizer of a state dict; ``weights`` have our names."""

    family: str
    weights: dict[str, Tensor]
    classes: tuple[str, ...] | None  # token of each output; None if the file does not store them


def check_family(family: str | None) -> None:
    """Raise ValueError for an unknown family; None is allowed."""
    if family is not None and family not in FAMILIES:
        raise ValueError(f"unknown family {family!r}; choose from {', '.join(FAMILIES)}")


def find_encoder(state_dict: Weights, path: str, family: str | None = None) -> EncoderWeights:
    """Find the encoder of a state dict.

    Args:
        state_dict: Weights of a pretraining run, a recognizer, or an encoder, of any family.
        path: Path of the file, for messages.
        family: A name of :data:`FAMILIES`; None detects it by the keys.

    Raises:
        ValueError: There is no encoder, or none of that family.
    """
    check_family(family)
    prefixes = {
        key.removesuffix(name): name == TIMM_PATCHES
        for name in (OUR_PATCHES, TIMM_PATCHES)
        for key in state_dict
        if f".{key}".endswith(f".{name}")
    }
    if not prefixes:
        raise ValueError(
            f"{path} holds no encoder of a known family ({', '.join(FAMILIES)}): none of its "
            f"{len(state_dict)} keys is {OUR_PATCHES} or {TIMM_PATCHES}, with or without a prefix "
            f"such as 'backbone.' ({list_names(list(state_dict))})"
        )
    prefix = choose_prefix(list(prefixes), path, "an encoder")
    detected = _detect_family(state_dict, prefix, prefixes[prefix])
    chosen = family or detected
    names = FAMILIES[chosen]
    if names.timm_names != prefixes[prefix]:
        raise ValueError(
            f"{path} holds an encoder of family {detected}, and family={family!r} was asked for"
        )
    weights: Any = OrderedDict()
    left_out = []
    for key, value in state_dict.items():
        name = key.removeprefix(prefix)
        if not key.startswith(prefix) or name.startswith(names.others):
            left_out.append(key)
        elif names.timm_names:
            weights[_rename(name, "blocks", "layers", BLOCK_NAMES, OUTER_NAMES)] = value
        else:
            weights[name] = value
    metadata = _metadata(state_dict, prefix) if names.metadata is None else names.metadata
    weights._metadata = {"": dict(metadata)} if metadata else {}
    return EncoderWeights(chosen, prefix, weights, left_out)


def find_recognizer(
    state_dict: Mapping[str, Tensor], path: str, family: str | None = None
) -> RecognizerWeights:
    """Find the whole recognizer of a state dict; see :func:`find_encoder`.

    MAERec's decoder has the names of MMOCR's ``NRTRDecoder`` (Mountchicken/Union14M,
    mmocr-dev-1.x/mmocr/models/textrecog/decoders/maerec_decoder.py) and so those of our
    ``TextDecoder``; its encoder is renamed.

    Raises:
        ValueError: There is no encoder, or no decoder beside it.
    """
    encoder = find_encoder(state_dict, path, family)
    outer = encoder.prefix.removesuffix("backbone.")
    rest = {
        key.removeprefix(outer): state_dict[key]
        for key in state_dict
        if key.startswith(outer) and not key.startswith(encoder.prefix)
    }
    if encoder.prefix == outer or not any(key.startswith("decoder.") for key in rest):
        raise ValueError(
            f"{path} holds an encoder of family {encoder.family} and no recognizer: no key starts "
            f"with {outer}backbone. and {outer}decoder.; PretrainedTextViT takes the encoder"
        )
    weights = OrderedDict((f"backbone.{key}", value) for key, value in encoder.weights.items())
    weights.update(rest)
    metadata = {
        name.removeprefix(outer): value
        for name, value in getattr(state_dict, "_metadata", {}).items()
        if name.startswith(outer)
    }
    metadata["backbone"] = getattr(encoder.weights, "_metadata", {}).get("", {})
    classes = metadata.get("decoder", {}).get("classes")
    if encoder.family == "maerec":
        classes = MAEREC_CLASSES
    if classes is not None:
        metadata["decoder"] = {**metadata.get("decoder", {}), "classes": list(classes)}
    weights._metadata = metadata  # type: ignore[attr-defined]
    return RecognizerWeights(encoder.family, weights, tuple(classes) if classes else None)


def timm_names(weights: Weights) -> dict[str, Tensor]:
    """Rename an encoder's weights to timm's names; the grid of the positions is lost."""
    blocks = {ours: timm for timm, ours in BLOCK_NAMES.items()}
    outer = {ours: timm for timm, ours in OUTER_NAMES.items()}
    return OrderedDict(
        (_rename(key, "layers", "blocks", blocks, outer), value) for key, value in weights.items()
    )


def _metadata(state_dict: Weights, prefix: str) -> dict[str, Any]:
    metadata: dict[str, Any] = getattr(state_dict, "_metadata", {}).get(prefix[:-1], {})
    return metadata


def _detect_family(state_dict: Weights, prefix: str, timm_names: bool) -> str:
    if not timm_names:
        return "mms" if "grid" in _metadata(state_dict, prefix) else "mmpretrain"
    outer = prefix.removesuffix("backbone.")
    if prefix != outer and f"{outer}decoder.trg_word_emb.weight" in state_dict:
        return "maerec"
    decoder = FAMILIES["mae"].others
    is_mae = any(key.removeprefix(prefix).startswith(decoder) for key in state_dict)
    return "mae" if is_mae else "timm"


def _rename(
    key: str, stack: str, new_stack: str, inside: Mapping[str, str], outside: Mapping[str, str]
) -> str:
    """Rename a key; an unknown one keeps its name."""
    block = re.fullmatch(rf"{stack}\.(\d+)\.(.+)", key)
    start, rest = (f"{new_stack}.{block[1]}.", block[2]) if block else ("", key)
    for old, new in (inside if block else outside).items():
        if rest.startswith(old):
            return start + new + rest[len(old) :]
    return key
