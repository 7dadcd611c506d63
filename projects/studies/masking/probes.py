"""Probes of a frozen encoder: masked error, characters, and characters from their context.

Both probes are linear and measured on the test set of IIIT5K. That of characters is fitted on its
training set, that of context on rendered words as well.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import torch
from mmengine.config import Config
from plan import PROBE_FIT, PROBE_TEST, Chain, Settings, masked_error_dataset, pretraining_config
from torch import Tensor, nn

from mms_ocr.datasets.sources import open_source
from mms_ocr.evaluation.characters import character_patches, fit_linear_probe, pool_characters
from mms_ocr.models import MMS, TextViT
from mms_ocr.models.weights import PretrainedTextViT, load_model
from mms_ocr.registry import DATASETS, MODELS
from mms_ocr.utils.decoding import decode_image

CLASSES = "0123456789abcdefghijklmnopqrstuvwxyz"
MARGIN = 1  # columns removed on either side of a character, beside its own
BATCH = 64


@dataclass(frozen=True)
class Word:
    """A word in the size of the encoder.

    Attributes:
        text: What it reads.
        patches: Those of every character, bool ``(characters, L)``.
        pixels: RGB, uint8 ``(3, H, W)``.
    """

    text: str
    patches: Tensor
    pixels: Tensor


@dataclass(frozen=True)
class Example:
    """An inner character to be inferred from its context.

    Attributes:
        word: Index of its word.
        mask: Removed patches: all rows of the columns of the character and its margin, bool
            ``(L,)``.
        edges: Columns next to the removed ones, left and right.
        label: Its class, and those of the characters before and after it.
    """

    word: int
    mask: Tensor
    edges: tuple[int, int]
    label: tuple[int, int, int]


def measure_encoder(chain: Chain, settings: Settings, checkpoint: str | None) -> dict[str, dict]:
    """Estimates of a chain's encoder by name, each a ``value`` and its standard error ``se``.

    Args:
        chain: Variant and seed.
        settings: Data and sizes.
        checkpoint: Of the pretraining; None for random weights, which have no masked error.
    """
    cfg = pretraining_config(chain, settings)
    torch.manual_seed(chain.seed)
    encoder = MODELS.build(cfg.model.backbone)
    results = {}
    if checkpoint:
        results |= masked_errors(cfg, settings, checkpoint)
        PretrainedTextViT(checkpoint)(encoder)
    paths = [*settings.paths([PROBE_FIT, PROBE_TEST]), settings.rendered]
    limits = (settings.probe_words, settings.probe_words, 4 * settings.probe_words)
    fit, test, rendered = (read_words(path, encoder, limit) for path, limit in zip(paths, limits))
    calibrate(encoder.eval(), fit)
    parts = [character_features(encoder, words) for words in (fit, test)]
    results["characters"] = estimate_share(fit_linear_probe(*parts), len(parts[1][1]))
    spelled = fit + rendered
    known = {word.text.lower() for word in spelled}
    unseen = [word for word in test if word.text.lower() not in known]
    examples = [find_examples(words, encoder.grid) for words in (spelled, unseen)]
    labels = [torch.tensor([example.label for example in part]) for part in examples]
    features = [
        context_features(encoder, words, part) for words, part in zip((spelled, unseen), examples)
    ]
    count = len(labels[1])
    accuracy = fit_linear_probe((features[0], labels[0][:, 0]), (features[1], labels[1][:, 0]))
    results["context"] = estimate_share(accuracy, count)
    neighbors = [nn.functional.one_hot(part[:, 1:], len(CLASSES)).flatten(1) for part in labels]
    accuracy = fit_linear_probe(
        (neighbors[0].float(), labels[0][:, 0]), (neighbors[1].float(), labels[1][:, 0])
    )
    results["context from true neighbors"] = estimate_share(accuracy, count)
    most_frequent = labels[0][:, 0].mode().values
    accuracy = float((labels[1][:, 0] == most_frequent).float().mean())
    results["context by chance"] = estimate_share(accuracy, count)
    return results


def estimate_share(share: float, count: int) -> dict[str, float]:
    """Estimate a share from ``count`` independent trials, with a standard error (Agresti-Coull)."""
    adjusted = (share * count + 2) / (count + 4)  # so that no share, or all, is not certain
    return {"value": share, "se": math.sqrt(adjusted * (1 - adjusted) / (count + 4))}


@torch.no_grad()
def masked_errors(cfg: Config, settings: Settings, checkpoint: str) -> dict[str, dict]:
    """Compute the mean error of held-out words by strategy, at one ratio."""
    common = pretraining_config(Chain("mixed", 0), settings).model.data_preprocessor
    model: MMS = MODELS.build({**cfg.model, "data_preprocessor": {**common, "seed": 0}})
    load_model(model.eval(), checkpoint)
    dataset = DATASETS.build(masked_error_dataset(settings))
    errors = defaultdict(list)
    indices = range(min(len(dataset), settings.probe_words))
    for start in range(0, len(indices), BATCH):
        items = [dataset[index] for index in indices[start : start + BATCH]]
        batch = {key: [item[key] for item in items] for key in ("inputs", "data_samples")}
        for sample in model.predict(**model.data_preprocessor(batch)):
            for name, error in sample.masked_error.items():
                errors[f"error {name}"].append(error)
    return {
        name: {
            "value": float(torch.tensor(values).mean()),
            "se": float(torch.tensor(values).std()) / math.sqrt(len(values)),
        }
        for name, values in errors.items()
    }


def read_words(path: str, encoder: TextViT, limit: int) -> list[Word]:
    """Read at most ``limit`` words whose characters all have boxes.

    Args:
        path: JSON lines or an LMDB, with boxes.
        encoder: Gives the size of the images and the grid of patches.
        limit: Number of first words to read; those without a box for each character are skipped.

    Raises:
        ValueError: No word has them.
    """
    source, words = open_source(path), []
    height, width = encoder.img_size
    for index in range(min(len(source), limit)):
        raw = source.read(index, labelled=True)
        boxes = json.loads(raw.char_boxes) if isinstance(raw.char_boxes, bytes) else raw.char_boxes
        if not raw.text or len(boxes or ()) != len(raw.text):
            continue
        image = decode_image(raw.data)[:, :, ::-1]
        patches = [character_patches(box, image.shape[:2], encoder.grid) for box in boxes]
        pixels = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
        words.append(
            Word(raw.text, torch.stack(patches), torch.from_numpy(pixels).permute(2, 0, 1))
        )
    if not words:
        raise ValueError(f"no word of {path} has char_boxes; render with --extras char_boxes")
    return words


def load_pixels(words: Sequence[Word]) -> Tensor:
    """Normalized RGB images ``(N, 3, H, W)`` of words."""
    return torch.stack([word.pixels for word in words]).float() / 127.5 - 1


@torch.no_grad()
def calibrate(encoder: TextViT, words: Sequence[Word]) -> None:
    """Estimate the statistics of batch normalization again, on whole images.

    Those of pretraining are of images of which most is blank.
    """
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.train()
    for start in range(0, len(words), BATCH) if norms else ():
        encoder(load_pixels(words[start : start + BATCH]))
    encoder.eval()


@torch.no_grad()
def character_features(encoder: TextViT, words: Sequence[Word]) -> tuple[Tensor, Tensor]:
    """Compute features ``(N, C * 12)`` of characters in whole images, and classes ``(N,)``."""
    features, classes = [], []
    for start in range(0, len(words), BATCH):
        batch = words[start : start + BATCH]
        maps = encoder(load_pixels(batch))
        for word, tokens in zip(batch, maps):
            known = [i for i, letter in enumerate(word.text.lower()) if letter in CLASSES]
            features.append(pool_characters(tokens, word.patches)[known])
            classes += [CLASSES.index(word.text[i].lower()) for i in known]
    return torch.cat(features), torch.tensor(classes)


def find_examples(words: Sequence[Word], grid: tuple[int, int]) -> list[Example]:
    """Characters to infer: those between two others, with a visible column on either side."""
    examples = []
    for number, word in enumerate(words):
        text = word.text.lower()
        for i in range(1, len(text) - 1):
            around = (text[i], text[i - 1], text[i + 1])
            columns = word.patches[i].view(grid).any(dim=0).nonzero().flatten().tolist()
            left, right = columns[0] - MARGIN - 1, columns[-1] + MARGIN + 1
            if left < 0 or right >= grid[1] or not all(letter in CLASSES for letter in around):
                continue
            mask = torch.zeros(grid, dtype=torch.bool)
            mask[:, left + 1 : right] = True
            label = tuple(CLASSES.index(letter) for letter in around)
            examples.append(Example(number, mask.flatten(), (left, right), label))
    return examples


@torch.no_grad()
def context_features(
    encoder: TextViT, words: Sequence[Word], examples: Sequence[Example]
) -> Tensor:
    """Average the features of the columns left and right of the removed ones, ``(N, 2 * C)``."""
    grid = encoder.grid
    features = torch.zeros(len(examples), 2 * encoder.embed_dims)
    by_size = defaultdict(list)
    for place, example in enumerate(examples):
        by_size[int(example.mask.sum())].append(place)
    for num_removed, places in by_size.items():
        for start in range(0, len(places), BATCH):
            batch = places[start : start + BATCH]
            masks = torch.stack([examples[place].mask for place in batch])
            images = load_pixels([words[examples[place].word] for place in batch])
            tokens, visible, _ = encoder(images, masks, num_removed=num_removed)
            index = visible[..., None].expand(-1, -1, tokens.shape[-1])
            whole = tokens.new_zeros(len(batch), grid[0] * grid[1], tokens.shape[-1])
            columns = whole.scatter(1, index, tokens[:, 1:]).unflatten(1, grid).mean(dim=1)
            edges = torch.tensor([examples[place].edges for place in batch])
            features[batch] = columns[torch.arange(len(batch))[:, None], edges].flatten(1)
    return features
