"""What an adaptation starts from, and the reader that it writes."""

from __future__ import annotations

import os
from pathlib import Path

from mms_ocr.apis.adaptation.configs import READER, Start, write_reader_config
from mms_ocr.apis.bundled_configs import config_folder
from mms_ocr.apis.exporting import export
from mms_ocr.apis.tasks import PRETRAINING, RECOGNITION, choose_weights
from mms_ocr.apis.trained_models import build_trained, find_task, load_config, read_config
from mms_ocr.models.weights import read_state_dict, write_checkpoint
from mms_ocr.utils.bundled import SCHEME
from mms_ocr.utils.dictionaries import read_dictionary
from mms_ocr.utils.reader_folder import READER_CONFIG, READER_ONNX, READER_WEIGHTS

#: Files of the reader that is written, in that order.
READER_FILES = (READER_CONFIG, READER_ONNX, READER_WEIGHTS)


def find_start(given: str) -> Start:
    """Find the config of pretrained weights, and the bundled reader that was trained from them.

    Raises:
        FileNotFoundError: There are no such weights.
        ValueError: They are not those of a pretraining run, or of one without a bundled config.
    """
    weights = choose_weights(given, PRETRAINING)
    task = find_task(weights)
    if task is not PRETRAINING:
        raise ValueError(
            f"--start {given} is a {task.noun}; give a pretraining run, such as mms_vit_n"
        )
    cfg = load_config(None, weights, PRETRAINING)
    try:
        config = Path(cfg.filename).resolve().relative_to(config_folder().resolve())
    except ValueError as error:
        raise ValueError(
            f"--start {given} was trained with {cfg.filename}, which is no bundled config; give "
            "weights of a bundled one, as mms-ocr zoo lists"
        ) from error
    is_bundled = weights.startswith(SCHEME)
    has_reader = is_bundled and READER.startswith(f"{weights}_")
    return Start(
        encoder=weights if is_bundled else os.path.abspath(weights),
        config=config.as_posix(),
        reader=READER if has_reader else None,
        arch=str(cfg.model.backbone.arch),
    )


def known_characters(start: Start) -> list[str]:
    """Return the characters of the dictionary of the bundled recognizer config."""
    cfg = load_config(start.reader_config, "", RECOGNITION)
    return read_dictionary(cfg.model.decoder.dictionary.dict_file)


def write_reader(folder: Path, start: Start, name: str, checkpoint: str) -> list[str]:
    """Write a reader: its config, the model in ONNX, and the weights, which come last.

    Args:
        folder: Folder of the adaptation.
        start: What it started from.
        name: ``'bundled'`` for the bundled reader, else that of a training.
        checkpoint: File in the folder, or ``mms_ocr://NAME``.

    Returns:
        Notes for the report: why there is no model in ONNX.
    """
    notes = []
    write_reader_config(folder, start, name)
    path = checkpoint if checkpoint.startswith(SCHEME) else str(folder / checkpoint)
    try:
        export(path, folder / READER_ONNX, folder / READER_CONFIG)
    except (ImportError, ValueError) as error:
        notes.append(f"There is no {READER_ONNX}: {error}.")
    write_checkpoint(folder / READER_WEIGHTS, read_state_dict(path), {"experiment_name": "reader"})
    return notes


def count_parameters(folder: Path) -> int:
    """Load the reader that was written, strictly, and count its parameters."""
    model = build_trained(read_config(folder / READER_CONFIG), folder / READER_WEIGHTS, "cpu")
    return sum(parameter.numel() for parameter in model.parameters())
