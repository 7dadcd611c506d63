"""The checkpoint families that an encoder is taken from: one function each.

Every function gets a state dict and gives the encoder's part of it, with its keys as
:class:`~mms_ocr.models.TextViT` names them. Keys that are known not to belong to an encoder are
left out; all others stay, so that loading strictly names what does not fit. The names were read off
the published code of each family, which the functions cite; no code was taken from it.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from mms_ocr.models.weights.naming import choose_prefix
from mms_ocr.models.weights.wording import listed

OUR_PATCHES = "patch_embed.projection.weight"
TIMM_PATCHES = "patch_embed.proj.weight"
# The images of Union14M's MAERec are 32×128 and its patches 4×4.
MAEREC_GRID = (8, 32)

# Names of a block, timm's and MMPretrain's.
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


class Found(NamedTuple):
    """The encoder of a state dict.

    Attributes:
        family: Of which family the file is.
        prefix: What stands before the encoder's keys in it.
        weights: The encoder's weights, with our names.
        left_out: Keys of the file that do not belong to an encoder.
    """

    family: str
    prefix: str
    weights: dict[str, Tensor]
    left_out: list[str]


def from_mms(state_dict: Weights, prefix: str) -> dict[str, Tensor]:
    """Of an encoder of this project, alone or in any model; its file tells the grid."""
    at = prefix[:-1]
    metadata = getattr(state_dict, "_metadata", {}).get(at, {})
    return _with_metadata(_under(state_dict, prefix), metadata)


def from_mmpretrain(state_dict: Weights, prefix: str) -> dict[str, Tensor]:
    """Of MMPretrain's ``VisionTransformer``, ``MAEViT`` among them, whose names ours are.

    Source: open-mmlab/mmpretrain, mmpretrain/models/backbones/vision_transformer.py and
    mmpretrain/models/selfsup/mae.py. Its fixed positions are those of a square, whatever the grid.
    """
    return _with_metadata(_under(state_dict, prefix), {"square_positions": True})


def from_timm(state_dict: Weights, prefix: str) -> dict[str, Tensor]:
    """Of timm's ``VisionTransformer``; its classification head is left out.

    Source: huggingface/pytorch-image-models, timm/models/vision_transformer.py. The encoder of a
    run of MAE without its decoder has the same keys, hence the same doubt about a square.
    """
    weights = _under(state_dict, prefix)
    kept = {key: value for key, value in weights.items() if not key.startswith("head.")}
    return _with_metadata(_renamed(kept), {"square_positions": True})


def from_mae(state_dict: Weights, prefix: str) -> dict[str, Tensor]:
    """Of the official MAE, pretrained; its decoder is left out.

    Union14M's pretraining writes the same keys. Source: facebookresearch/mae, models_mae.py, and
    Mountchicken/Union14M, mae/models_mae.py. Its positions are those of a square, whatever the
    grid, the column first.
    """
    weights = _under(state_dict, prefix)
    kept = {key: value for key, value in weights.items() if not _of_mae_decoder(key)}
    return _with_metadata(_renamed(kept), {"square_positions": True})


def from_maerec(state_dict: Weights, prefix: str) -> dict[str, Tensor]:
    """Of a recognizer of Union14M, whose backbone is timm's and whose grid is known.

    Source: Mountchicken/Union14M, mmocr-dev-1.x/mmocr/models/common/backbones/vit.py and
    mmocr-dev-1.x/configs/textrecog/maerec/_base_marec_vit_s.py. The positions are MAE's for a grid
    of 16×16, and each was trained as that of its patch on a grid of 8×32, which is therefore told.
    """
    return _with_metadata(_renamed(_under(state_dict, prefix)), {"grid": list(MAEREC_GRID)})


FAMILIES: dict[str, Callable[[Weights, str], dict[str, Tensor]]] = {
    "mms": from_mms,
    "mmpretrain": from_mmpretrain,
    "mae": from_mae,
    "timm": from_timm,
    "maerec": from_maerec,
}


def find_encoder(state_dict: Weights, path: str, family: str | None = None) -> Found:
    """Find the encoder of a state dict.

    Args:
        state_dict: Of a pretraining run, a recognizer, or an encoder alone, of any family.
        path: Where it is from, for the message of an error.
        family: One of :data:`FAMILIES`; None tells it by the keys.

    Raises:
        ValueError: There is no encoder in it, or none of that family.
    """
    if family is not None and family not in FAMILIES:
        raise ValueError(f"unknown family {family!r}; choose from {', '.join(FAMILIES)}")
    prefixes = {
        key.removesuffix(name): name == OUR_PATCHES
        for name in (OUR_PATCHES, TIMM_PATCHES)
        for key in state_dict
        if f".{key}".endswith(f".{name}")
    }
    if not prefixes:
        raise ValueError(
            f"{path} holds no encoder of a known family ({', '.join(FAMILIES)}): none of its "
            f"{len(state_dict)} keys is {OUR_PATCHES} or {TIMM_PATCHES}, with or without a prefix "
            f"such as 'backbone.' ({listed(list(state_dict))})"
        )
    prefix = choose_prefix(list(prefixes), path, "an encoder")
    own_names = prefixes[prefix]
    detected = _detect_family(state_dict, prefix, own_names)
    if family is not None and (family in ("mms", "mmpretrain")) != own_names:
        raise ValueError(
            f"{path} holds an encoder of family {detected}, and family={family!r} was asked for"
        )
    chosen = family or detected
    weights = FAMILIES[chosen](state_dict, prefix)
    left_out = [key for key in state_dict if not key.startswith(prefix)]
    if chosen in ("mae", "timm"):
        # The only ones of which a part is left out under the prefix itself.
        known = _of_mae_decoder if chosen == "mae" else _of_timm_head
        left_out += [
            key for key in state_dict if key.startswith(prefix) and known(key.removeprefix(prefix))
        ]
    return Found(chosen, prefix, weights, left_out)


def take_encoder(state_dict: Weights, path: str, family: str | None = None) -> dict[str, Tensor]:
    """The encoder's part of a state dict, with its keys as :class:`TextViT` names them.

    Arguments and errors are those of :func:`find_encoder`.
    """
    return find_encoder(state_dict, path, family).weights


def timm_names(weights: Weights) -> dict[str, Tensor]:
    """An encoder's weights with timm's names in place of ours: the way back of :func:`from_timm`.

    The grid of the positions, which timm's files do not tell, is lost.
    """
    blocks = {ours: timm for timm, ours in BLOCK_NAMES.items()}
    outer = {ours: timm for timm, ours in OUTER_NAMES.items()}
    return OrderedDict(
        (_rename(key, "layers", "blocks", blocks, outer), value) for key, value in weights.items()
    )


def _detect_family(state_dict: Weights, prefix: str, own_names: bool) -> str:
    if own_names:
        metadata = getattr(state_dict, "_metadata", {}).get(prefix[:-1], {})
        return "mms" if "grid" in metadata else "mmpretrain"
    outer = prefix.removesuffix("backbone.")
    if prefix != outer and f"{outer}decoder.trg_word_emb.weight" in state_dict:
        return "maerec"
    if any(_of_mae_decoder(key.removeprefix(prefix)) for key in state_dict):
        return "mae"
    return "timm"


def _of_mae_decoder(key: str) -> bool:
    return key.startswith("decoder_") or key == "mask_token"


def _of_timm_head(key: str) -> bool:
    return key.startswith("head.")


def _under(state_dict: Weights, prefix: str) -> dict[str, Tensor]:
    keys = [key for key in state_dict if key.startswith(prefix)]
    return OrderedDict((key[len(prefix) :], state_dict[key]) for key in keys)


def _with_metadata(weights: Weights, metadata: dict[str, Any]) -> dict[str, Tensor]:
    """Weights that tell what is known of their positions, see TextViT."""
    taken = OrderedDict(weights)
    taken._metadata = {"": metadata} if metadata else {}  # type: ignore[attr-defined]
    return taken


def _renamed(weights: Weights) -> dict[str, Tensor]:
    return OrderedDict(
        (_rename(key, "blocks", "layers", BLOCK_NAMES, OUTER_NAMES), value)
        for key, value in weights.items()
    )


def _rename(
    key: str, stack: str, new_stack: str, inside: Mapping[str, str], outside: Mapping[str, str]
) -> str:
    """A key under its new name; one that is not known keeps its own, to be named in an error."""
    block = re.fullmatch(rf"{stack}\.(\d+)\.(.+)", key)
    start, rest = (f"{new_stack}.{block[1]}.", block[2]) if block else ("", key)
    for old, new in (inside if block else outside).items():
        if rest.startswith(old):
            return start + new + rest[len(old) :]
    return key
