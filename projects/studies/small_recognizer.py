"""A small recognizer of words by CTC, for studies that train several of them on one CPU core."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

CHARACTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
HEIGHT, WIDTH = 32, 128
_REACH = (4, 2)  # pixels that an edge may move while training: left and right, top and bottom


def normalize(text: str) -> str:
    """Keep only ASCII letters and digits, in lower case, for comparisons."""
    return "".join(char for char in text.lower() if char in CHARACTERS)


def to_input(image: NDArray) -> NDArray[np.uint8]:
    """Resize an image ``(H, W, 3)`` of any shape to gray values ``(32, 128)``."""
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    shrinks = gray.shape[0] > HEIGHT or gray.shape[1] > WIDTH
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(gray, (WIDTH, HEIGHT), interpolation=method))


class SmallRecognizer(nn.Module):
    """Seven convolutions down to 32 columns, two along them, and a classifier of each column.

    Args:
        channels: of the stem, of heights 8, 4 and 2, and of the convolutions along the columns.
    """

    def __init__(self, channels: Sequence[int] = (24, 32, 64, 128, 96)) -> None:
        super().__init__()
        stem, high, middle, low, along = channels
        self.body = nn.Sequential(
            *_convolution(1, stem, 5, 2, 2),
            *_convolution(stem, high, 3, (2, 1), 1),
            *_convolution(high, high, 3, 1, 1),
            *_convolution(high, middle, 3, 2, 1),
            *_convolution(middle, middle, 3, 1, 1),
            *_convolution(middle, low, 3, (2, 1), 1),
            *_convolution(low, low, (2, 3), 1, (0, 1)),
            *_convolution(low, along, (1, 5), 1, (0, 2)),
            *_convolution(along, along, (1, 5), 1, (0, 2)),
        )
        nn.utils.convert_conv2d_weight_memory_format(self.body, torch.channels_last)
        self.classify = nn.Conv2d(along, len(CHARACTERS) + 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return log-softmax ``(32, B, 37)``, blank last, of uint8 images ``(B, 32, 128)``."""
        images = images.float()
        images = images - images.mean((1, 2), keepdim=True)
        images = images / (images.std((1, 2), keepdim=True) + 4)
        images = images[:, None].contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, torch.bfloat16):
            columns = self.body(images)
        return self.classify(columns.float())[:, :, 0].permute(2, 0, 1).log_softmax(-1)


def _convolution(
    inputs: int,
    outputs: int,
    kernel: int | tuple[int, int],
    stride: int | tuple[int, int],
    padding: int | tuple[int, int],
) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def train(
    images: NDArray[np.uint8],
    labels: Sequence[str],
    *,
    epochs: int,
    batch_size: int = 64,
    lr: float = 3e-3,
    weight_decay: float = 0.01,
    seed: int = 0,
    progress: Callable[[str], None] = print,
) -> SmallRecognizer:
    """Train on gray images ``(N, 32, 128)`` and their normalized labels, with one cycle of the lr.

    Each time an image is seen its edges lie elsewhere by up to 4 columns and 2 rows.

    Args:
        images: what :func:`to_input` gave.
        labels: characters of ``CHARACTERS`` only.
        epochs: times that each image is seen.
        batch_size: images a step; what is left over at an epoch's end is left out.
        lr: highest learning rate, of AdamW.
        weight_decay: of AdamW.
        seed: of weights, order and edges.
        progress: is given a line after every epoch.

    Raises:
        ValueError: if there are fewer images than one batch takes.
    """
    if len(images) < batch_size:
        raise ValueError(f"{len(images)} images are less than one batch of {batch_size}")
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = SmallRecognizer()
    optimizer = torch.optim.AdamW(model.parameters(), lr, weight_decay=weight_decay)
    steps = epochs * (len(images) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, steps, pct_start=0.15)
    places = {char: index for index, char in enumerate(CHARACTERS)}
    began = time.perf_counter()
    for epoch in range(1, epochs + 1):
        losses = []
        for batch in _batches(rng, len(images), batch_size):
            moved = np.stack([_move_edges(rng, images[index]) for index in batch])
            targets = [places[char] for index in batch for char in labels[index]]
            scores = model(torch.from_numpy(moved))
            loss = F.ctc_loss(
                scores,
                torch.tensor(targets),
                torch.full((batch_size,), len(scores)),
                torch.tensor([len(labels[index]) for index in batch]),
                blank=len(CHARACTERS),
                zero_infinity=True,  # more characters than columns
            )
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.detach())
        seconds = time.perf_counter() - began
        mean = float(torch.stack(losses).mean())
        progress(f"epoch {epoch} of {epochs}: loss {mean:.3f}, {seconds:.0f} s")
    return model.eval()


def _batches(rng: np.random.Generator, length: int, size: int) -> Iterator[NDArray[np.int64]]:
    order = rng.permutation(length)
    for start in range(0, length - size + 1, size):
        yield order[start : start + size]


def _move_edges(rng: np.random.Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    left, right = _REACH[0] * (2 * rng.random(2) - 1)
    top, bottom = _REACH[1] * (2 * rng.random(2) - 1)
    across, down = (right - left) / WIDTH, (bottom - top) / HEIGHT
    matrix = np.array([[1 + across, 0, left], [0, 1 + down, top]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(
        image, matrix, (WIDTH, HEIGHT), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(moved)


@torch.inference_mode()
def read(model: SmallRecognizer, images: NDArray[np.uint8], batch_size: int = 256) -> list[str]:
    """Read gray images ``(N, 32, 128)`` by the most probable character of each column."""
    texts = []
    for start in range(0, len(images), batch_size):
        best = model(torch.from_numpy(images[start : start + batch_size])).argmax(-1).T
        texts += [collapse(row) for row in best.tolist()]
    return texts


def collapse(path: Sequence[int]) -> str:
    """Convert a CTC path to text: merge repeats, remove blanks."""
    kept = [
        place
        for index, place in enumerate(path)
        if place < len(CHARACTERS) and (index == 0 or path[index - 1] != place)
    ]
    return "".join(CHARACTERS[place] for place in kept)
