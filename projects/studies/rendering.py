"""Measure the renderer's realism: recognizers trained on rendered words only read real ones.

Every variant trains the same small recognizer (small_recognizer.py) from the same seed, for the
same number of steps, on the same texts in the same fonts; only the look of the words differs:

- full: difficulty 0.5, or --difficulty;
- undegraded: the same pictures before the camera effects: no uneven light, obstacles, blur, noise,
  low resolution or JPEG, but colors, backgrounds, bends and perspective;
- plain: difficulty 0: upright gray text on an even gray ground.

The last weights are tested; no test image is used in training or to choose weights. Words are
compared by letters and digits only, regardless of case; words without any are left out. Rendered
words and finished trainings are not repeated.

    python projects/studies/rendering.py --fonts FOLDER --words words.txt \
        --test iiit5k/test.jsonl icdar2015/train.jsonl --work-dir work_dirs/rendering_study
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from small_recognizer import SmallRecognizer, normalize, read, to_input, train
from tqdm import tqdm

from mms_ocr.datasets import RenderedWordDataset, WordImageDataset
from mms_ocr.utils.devices import describe_machine

VARIANTS = ("full", "undegraded", "plain")
_datasets: dict[str, RenderedWordDataset] = {}  # of a rendering process


class Words(NamedTuple):
    """Gray images ``(N, 32, 128)`` uint8 and their normalized labels."""

    images: NDArray[np.uint8]
    labels: list[str]


class Scores(NamedTuple):
    """Of one recognizer on one set of words, word by word."""

    correct: NDArray[np.bool_]
    distances: NDArray[np.int64]
    similarities: NDArray[np.float64]
    characters: int

    @classmethod
    def of(cls, texts: Iterable[str], labels: list[str]) -> Scores:
        """Compare what was read to the labels."""
        pairs = list(zip(texts, labels))
        return cls(
            np.array([text == label for text, label in pairs]),
            np.array([Levenshtein.distance(text, label) for text, label in pairs]),
            np.array([Levenshtein.normalized_similarity(text, label) for text, label in pairs]),
            sum(map(len, labels)),
        )

    def cells(self) -> str:
        """Word accuracy, characters wrong per character of the labels, mean of 1 - NED; in %."""
        error = self.distances.sum() / self.characters
        return f"{self.correct.mean():.1%} | {error:.1%} | {self.similarities.mean():.1%}"


def difference(first: Scores, other: Scores) -> str:
    """Difference of word accuracies in points, with its 95% interval over words."""
    steps = 100 * (first.correct.astype(float) - other.correct)
    margin = 1.96 * steps.std() / np.sqrt(len(steps))
    return f"{steps.mean():+.1f} ± {margin:.1f} points"


def _render(task: tuple[dict[str, Any], int]) -> tuple[NDArray, NDArray, str]:
    settings, index = task
    key = json.dumps(settings, sort_keys=True)
    if key not in _datasets:
        cv2.setNumThreads(1)
        _datasets[key] = RenderedWordDataset(**settings)
    word = _datasets[key].render(index)
    return to_input(word.image), to_input(word.clean), normalize(word.text)


def render(settings: dict[str, Any], folder: Path, workers: int) -> None:
    """Render words into ``image.npy``, ``clean.npy`` and ``labels.txt`` of a folder."""
    if is_there(folder, "words", settings):
        return
    count = settings["num_samples"]
    RenderedWordDataset(**settings)  # says what is wrong with the settings before workers start
    tasks = ((settings, index) for index in range(count))
    progress = functools.partial(tqdm, desc=folder.name, total=count, unit="word", mininterval=5)
    if workers:
        # Not forked: threads that torch and OpenCV may have by now would be missing in the child.
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            made = list(progress(pool.imap(_render, tasks, chunksize=64)))
    else:
        made = list(progress(map(_render, tasks)))
    made = [word for word in made if word[2]]
    if not made:
        raise ValueError(f"none of {count} rendered texts has a letter or digit")
    images, cleans, labels = zip(*made)
    np.save(folder / "image.npy", np.stack(images))
    np.save(folder / "clean.npy", np.stack(cleans))
    (folder / "labels.txt").write_text("\n".join(labels) + "\n")
    note_down(folder, "words", settings)


def load(folder: Path, picture: str) -> Words:
    """Load the words that :func:`render` stored; ``picture`` is ``'image'`` or ``'clean'``."""
    labels = (folder / "labels.txt").read_text().split()
    return Words(np.load(folder / f"{picture}.npy"), labels)


def is_there(folder: Path, what: str, settings: dict[str, Any]) -> bool:
    """Return whether ``what`` exists in the folder, made with these settings.

    Raises:
        ValueError: It was made with others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{what}.json"
    if not file.exists():
        return False
    stored = json.loads(file.read_text())
    settings = json.loads(json.dumps(settings))
    for name in sorted(stored.keys() | settings.keys()):
        if name != "seconds" and stored.get(name) != settings.get(name):
            raise ValueError(
                f"{file}: was made with {name} {stored.get(name)!r}, not {settings.get(name)!r}; "
                "give another --work-dir, or remove the folder"
            )
    return True


def note_down(folder: Path, what: str, settings: dict[str, Any]) -> None:
    """Write, as the last thing, with which settings ``what`` was made."""
    unfinished = folder / f"{what}.json.part"
    unfinished.write_text(json.dumps(settings, indent=1))
    unfinished.replace(folder / f"{what}.json")


def train_variant(name: str, words: Words, settings: dict[str, Any], folder: Path) -> float:
    """Train, unless it was done before; returns the seconds of CPU time it took."""
    if not is_there(folder, "training", settings):
        began = time.process_time()  # other work on the machine does not count
        keys = ("epochs", "batch_size", "lr", "seed")
        model = train(
            *words,
            **{key: settings[key] for key in keys},
            progress=lambda line: print(f"{name}: {line}", flush=True),
        )
        torch.save(model.state_dict(), folder / "weights.pth")
        note_down(folder, "training", settings | {"seconds": time.process_time() - began})
    return float(json.loads((folder / "training.json").read_text())["seconds"])


def load_model(folder: Path) -> SmallRecognizer:
    model = SmallRecognizer()
    model.load_state_dict(torch.load(folder / "weights.pth", weights_only=True))
    return model.eval()


def read_real(path: str) -> Words:
    """Real words, prepared as the rendered ones are.

    Raises:
        ValueError: if no label holds a letter or digit.
    """
    dataset = WordImageDataset(path, labelled=True)
    items = [dataset[index] for index in range(len(dataset))]
    pairs = [(to_input(item["img"]), normalize(item["text"])) for item in items]
    pairs = [(image, label) for image, label in pairs if label]
    if not pairs:
        raise ValueError(f"{path}: no label has a letter or digit")
    return Words(np.stack([image for image, _ in pairs]), [label for _, label in pairs])


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--test", nargs="+", required=True, help="real words: JSON lines, LMDBs")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--fonts", nargs="+", help="font folders (those of matplotlib)")
    parser.add_argument("--words", help="text file, one word a line (the embedded words)")
    parser.add_argument("--count", type=int, default=36000, help="words to render (36000)")
    parser.add_argument("--difficulty", type=float, default=0.5, help="of full (0.5)")
    parser.add_argument("--epochs", type=int, default=7, help="times each word is seen (7)")
    parser.add_argument("--batch-size", type=int, default=64, help="words a step (64)")
    parser.add_argument("--lr", type=float, default=3e-3, help="highest learning rate (0.003)")
    parser.add_argument("--seed", type=int, default=0, help="of words and weights (0)")
    parser.add_argument("--workers", type=int, default=0, help="rendering processes (0: none)")
    parser.add_argument("--work-dir", default="work_dirs/rendering_study")
    return parser.parse_args(arguments)


def study(args: argparse.Namespace) -> None:
    tests = {path: read_real(path) for path in args.test}
    scores: dict[str, dict[str, Scores]] = {}
    rows = []
    for name in args.variants:
        difficulty = 0.0 if name == "plain" else args.difficulty
        rendering = dict(
            num_samples=args.count,
            seed=args.seed,
            fonts=args.fonts and [str(Path(folder).resolve()) for folder in args.fonts],
            words=args.words and str(Path(args.words).resolve()),
            case="mixed",
            difficulty=difficulty,
        )
        rendered = Path(args.work_dir, f"words_{difficulty:g}")
        render(rendering, rendered, args.workers)
        words = load(rendered, "clean" if name == "undegraded" else "image")
        training = dict(
            rendering, epochs=args.epochs, batch_size=args.batch_size, lr=args.lr, variant=name
        )
        folder = Path(args.work_dir, name)
        seconds = train_variant(name, words, training, folder)
        model = load_model(folder)
        scores[name] = {
            path: Scores.of(read(model, real.images), real.labels) for path, real in tests.items()
        }
        seen = len(words.labels) // args.batch_size * args.batch_size * args.epochs
        rows += [
            f"| {name} | {short(path)} ({len(real.labels):,}) | {scores[name][path].cells()} "
            f"| {seen:,} | {seconds:.0f} |"
            for path, real in tests.items()
        ]
    print(f"\n{describe_machine()}\n")
    print("| trained on | tested on (words) | word accuracy | character error | 1 - NED ", end="")
    print("| images seen | training, CPU s |\n| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    print("\n".join(rows) + "\n")
    for path in tests:
        for other in args.variants[1:]:
            first = args.variants[0]
            gain = difference(scores[first][path], scores[other][path])
            print(f"{short(path)}, word accuracy, {first} over {other}: {gain} (95%, by word)")


def short(path: str) -> str:
    """Shorten a path to its last folder and the file name."""
    return "/".join(Path(path).parts[-2:])


def main() -> None:
    args = parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    try:
        study(args)
    except (OSError, ValueError) as error:
        sys.exit(f"rendering.py: {error}")


if __name__ == "__main__":
    main()
