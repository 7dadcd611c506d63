"""Characters on the patch grid, and a linear probe of their features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mms_ocr.datasets.sources import JsonlSource
from mms_ocr.utils.decoding import decode_image


@dataclass(frozen=True)
class Word:
    """Word image, its label, and the patches of each character, bool ``(characters, L)``."""

    path: str
    text: str
    patches: Tensor


def character_patches(
    box: Sequence[float], image_size: Sequence[int], grid: tuple[int, int]
) -> Tensor:
    """Find the patches that the box of a character touches, bool ``(H * W,)``, at least one.

    The box is x, y, width and height in pixels of an image of height and width ``image_size``;
    ``grid`` is ``(H, W)``.
    """
    touched = torch.zeros(grid, dtype=torch.bool)
    spans = []
    for start, length, size, patches in (
        (box[1], box[3], image_size[0], grid[0]),
        (box[0], box[2], image_size[1], grid[1]),
    ):
        first = min(max(math.floor(start / size * patches), 0), patches - 1)
        last = min(max(math.ceil((start + length) / size * patches), first + 1), patches)
        spans.append(slice(first, last))
    touched[spans[0], spans[1]] = True
    return touched.flatten()


def read_characters(path: str, grid: tuple[int, int]) -> list[Word]:
    """Read the words of a JSON-lines file with ``filename``, ``text`` and ``char_boxes``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A line is wrong or lacks boxes, or its image cannot be read.
    """
    source, words = JsonlSource(path), []
    for index in range(len(source)):
        image = source.read(index, labelled=True)
        if not image.char_boxes:
            raise ValueError(f"{path}: {image.name} has no char_boxes")
        try:
            size = decode_image(image.data).shape[:2]
        except ValueError as error:
            raise ValueError(f"{path}: {image.name} cannot be read: {error}") from error
        patches = torch.stack([character_patches(box, size, grid) for box in image.char_boxes])
        words.append(Word(image.name, image.text or "", patches))
    return words


def pool_characters(tokens: Tensor, patches: Tensor, cells: tuple[int, int] = (4, 3)) -> Tensor:
    """Average the features of every character over the cells of a small grid in its box.

    The cells keep the places of strokes. ``tokens`` is the map of one image, ``(C, H, W)``, and
    ``patches`` are those of its characters, each a rectangle: bool ``(N, H * W)``. Returns
    ``(N, C * cells[0] * cells[1])``.
    """
    pooled = []
    for rectangle in patches.view(len(patches), *tokens.shape[1:]):
        rows, columns = rectangle.any(dim=1).nonzero(), rectangle.any(dim=0).nonzero()
        crop = tokens[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        pooled.append(nn.functional.adaptive_avg_pool2d(crop, cells).flatten())
    return torch.stack(pooled)


def fit_linear_probe(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], decay: float = 1e-3
) -> float:
    """Fit a linear classifier to frozen features, and measure its accuracy in [0, 1].

    Features ``(N, C)`` of classes ``(N,)`` are standardized with the training set's statistics;
    logistic regression with an L2 penalty of weight ``decay`` is fitted by L-BFGS.
    """
    mean, std = train[0].mean(dim=0), train[0].std(dim=0) + 1e-6
    features, unseen = (train[0] - mean) / std, (test[0] - mean) / std
    classes = int(torch.cat([train[1], test[1]]).max()) + 1
    classifier = nn.Linear(features.shape[1], classes)
    nn.init.zeros_(classifier.weight)
    nn.init.zeros_(classifier.bias)
    optimizer = torch.optim.LBFGS(
        classifier.parameters(), max_iter=200, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(classifier(features), train[1])
        loss = loss + decay * classifier.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        return float((classifier(unseen).argmax(dim=1) == test[1]).float().mean())
