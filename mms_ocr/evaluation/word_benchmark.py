"""Word accuracy on several test sets, by MMOCR's metric."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from mmengine.dist import all_gather_object
from mmengine.evaluator import BaseMetric
from mmocr.evaluation.metrics import WordMetric

from mms_ocr.evaluation.benchmark_scores import (
    PROTOCOLS,
    ReadWord,
    SetScore,
    mean_of_sets,
    of_all_images,
    score_sets,
)
from mms_ocr.registry import METRICS

# As in MMOCR's WordMetric, but for its ``^``, which is a symbol.
_NOT_COMPARED = re.compile("[^a-z0-9\u4e00-\u9fa5]")
# Share of labels without letters and digits, which that protocol cannot compare, that is tolerated.
_MAX_EMPTY = 0.05


def judge_words(words: Sequence[ReadWord]) -> dict[str, list[bool]]:
    """Compare words with MMOCR's ``WordMetric``: by protocol, which words are correct.

    Its letters and digits are A–Z, a–z, 0–9, ``^`` and the CJK characters U+4E00 to U+9FA5. If
    neither label nor prediction has any of them, the word counts as correct.
    """
    metric = WordMetric(mode=["exact", "ignore_case", "ignore_case_symbol"])
    samples = [
        dict(pred_text=dict(item=word.text), gt_text=dict(item=word.label)) for word in words
    ]
    metric.process([], samples)
    keys = {name: name.replace("word_acc", "match") + "_num" for name in PROTOCOLS}
    return {name: [bool(kept[key]) for kept in metric.results] for name, key in keys.items()}


class Headline(NamedTuple):
    """Protocol that suits some labels, and the reason as a sentence."""

    protocol: str
    reason: str


def headline_protocol(labels: Iterable[str]) -> Headline:
    """Choose the protocol that decides between readers of these labels.

    It is ``word_acc_ignore_case_symbol``, the usual one of scene text, unless that would leave out
    letters or digits of the labels, such as é or Cyrillic, or count many words as correct that it
    cannot compare; then it is ``word_acc``.
    """
    labels = list(labels)
    left_out = {char for label in labels for char in letters_and_digits_left_out(label)}
    if left_out:
        shown = " ".join(sorted(left_out)[:8]) + (" …" if len(left_out) > 8 else "")
        reason = f"labels have letters or digits other than A–Z, a–z and 0–9: {shown}"
        return Headline("word_acc", f"All characters count, and their case, since {reason}.")
    empty = sum(not compared_text(label) for label in labels)
    if empty > _MAX_EMPTY * len(labels):
        reason = f"{empty:,} of {len(labels):,} labels have no letter and no digit"
        return Headline("word_acc", f"All characters count, and their case, since {reason}.")
    return Headline("word_acc_ignore_case_symbol", "Letters and digits count, in any case.")


def compared_text(text: str) -> str:
    """Return what ``word_acc_ignore_case_symbol`` compares of a text: its letters and digits."""
    return _NOT_COMPARED.sub("", text.lower())


def letters_and_digits_left_out(text: str) -> str:
    """Return the letters, digits and combining marks that :func:`compared_text` leaves out."""
    return "".join(
        char
        for char in text
        if (char.isdecimal() or unicodedata.category(char)[0] in "LM") and not compared_text(char)
    )


def text_confidence(pred_text: Any) -> float | None:
    """Return the confidence of a word of MMOCR, in [0, 1]; None if there is none.

    It is ``confidence``, as TextDecoder's, or the product of the ``score`` of its characters.
    """
    if pred_text.get("confidence") is not None:
        return float(pred_text.get("confidence"))
    scores = pred_text.get("score")
    return None if scores is None else math.prod(map(float, scores))


@METRICS.register_module()
class WordBenchmark(BaseMetric):
    """Word accuracy of every set of a :class:`~mms_ocr.datasets.benchmark.BenchmarkDataset`.

    Results are ``benchmark/<set>/<protocol>``, ``…/images`` and ``…/skipped``, the plain mean of
    the sets ``benchmark/mean/<protocol>`` and the accuracy over all their images
    ``benchmark/all_images/<protocol>``, with the protocols of
    :data:`~mms_ocr.evaluation.benchmark_scores.PROTOCOLS`. Each image counts once, also in a
    distributed run. ``scores`` and ``words`` are the results and predictions of the last
    evaluation. ``collect_device`` is not used.
    """

    default_prefix = "benchmark"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scores: list[SetScore] = []
        self.words: list[ReadWord] = []

    def process(self, data_batch: Any, data_samples: Sequence[Mapping]) -> None:
        """Collect the predictions of a batch.

        Raises:
            ValueError: A sample has no ``sample_idx``.
        """
        for sample in data_samples:
            if "sample_idx" not in sample:
                raise ValueError(
                    "a benchmark counts each image once, by its sample_idx: keep it in meta_keys "
                    "of the packing transform"
                )
            predicted = sample["pred_text"]
            self.results.append(
                ReadWord(
                    int(sample["sample_idx"]),
                    sample["gt_text"]["item"],
                    predicted["item"],
                    text_confidence(predicted),
                    sample.get("img_path") or "",
                )
            )

    def evaluate(self, size: int) -> dict[str, float]:
        """Gather the predictions of all processes, and compute the results.

        MMEngine takes the first ``size`` results in the order of its sampler, which a broken image
        that is replaced by another would shift.
        """
        gathered = [word for part in all_gather_object(self.results) for word in part]
        self.results.clear()
        metrics = self.compute_metrics(gathered)
        return {f"{self.prefix}/{name}": value for name, value in metrics.items()}

    def compute_metrics(self, results: list[ReadWord]) -> dict[str, float]:
        """Compute the results of all sets from predictions in any order, some maybe repeated.

        Raises:
            ValueError: The data set is no benchmark, or too many images of a set were not read.
        """
        benchmark = (self.dataset_meta or {}).get("benchmark")
        if benchmark is None:
            raise ValueError("mms_ocr.WordBenchmark counts sets of a mms_ocr.BenchmarkDataset")
        by_index = {word.index: word for word in results}
        self.words = [by_index[index] for index in sorted(by_index)]
        self.scores = score_sets(
            self.words, benchmark["sets"], benchmark["max_broken"], judge_words
        )
        metrics: dict[str, float] = {}
        for score in self.scores:
            metrics[f"{score.name}/images"] = score.images
            metrics[f"{score.name}/skipped"] = score.skipped
            metrics |= {f"{score.name}/{name}": value for name, value in score.accuracy.items()}
        metrics |= {f"mean/{name}": value for name, value in mean_of_sets(self.scores).items()}
        shares = of_all_images(self.scores)
        return metrics | {f"all_images/{name}": value for name, value in shares.items()}
