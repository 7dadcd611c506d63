"""Characters of a decoder in its state dicts, which weights are checked against."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def store_classes(decoder: Any) -> None:
    """Store the characters of a decoder in its state dicts, and refuse those with others.

    Args:
        decoder: A decoder of MMOCR with a ``dictionary``.
    """
    # Hooks, since MMEngine collects and loads weights by itself and calls no method of the module.
    decoder._register_state_dict_hook(_write_classes)
    decoder.register_load_state_dict_pre_hook(_check_classes)


def _write_classes(
    module: Any, state_dict: dict[str, Tensor], prefix: str, local_metadata: dict[str, Any]
) -> None:
    local_metadata["classes"] = list(module.dictionary.dict)


def _check_classes(
    module: Any,
    state_dict: dict[str, Tensor],
    prefix: str,
    local_metadata: dict[str, Any],
    *args: Any,
) -> None:
    """Refuse weights of another dictionary.

    Raises:
        ValueError: Some output stood for another character when the weights were written.
    """
    written, wanted = local_metadata.get("classes"), list(module.dictionary.dict)
    if written is None or written == wanted:
        return
    if len(written) != len(wanted):
        what = f"{len(written)} characters and tokens, the dictionary {len(wanted)}"
    else:
        place = next(i for i, pair in enumerate(zip(written, wanted)) if pair[0] != pair[1])
        what = f"{written[place]!r} at place {place}, the dictionary {wanted[place]!r}"
    raise ValueError(
        f"{prefix}dictionary: the checkpoint has {what}; give the decoder the dictionary of the "
        "checkpoint, load the recognizer by mms_ocr.PretrainedRecognizer where only the order "
        "differs, or its encoder alone by mms_ocr.PretrainedTextViT"
    )
