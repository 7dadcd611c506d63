"""CTC head: a linear layer on the columns of a map, and how probable a word is."""

from __future__ import annotations

import copy
import math
from collections.abc import Container, Sequence
from itertools import groupby
from typing import Any

import torch
from mmengine.model import BaseModule
from mmocr.registry import MODELS as MMOCR_MODELS
from mmocr.structures import TextRecogDataSample
from torch import Tensor, nn
from torch.nn import functional as F

from mms_ocr.models.backbones.output_kinds import describe_output
from mms_ocr.models.onnx_forms import ColumnConvForm
from mms_ocr.models.stored_settings import store_settings
from mms_ocr.models.textrecog.word_decoder import (
    OptSamples,
    OptTensor,
    WordDecoder,
    columns_needed,
)
from mms_ocr.registry import MODELS

POOLINGS = ("attention", "conv", "mean")


def pool_rows(feature_map: Tensor, scores: Tensor) -> Tensor:
    """Average the rows of a map ``(N, C, H, W)`` to columns ``(N, W, C)``.

    The weights are the softmax of ``scores`` ``(N, H, W)`` over the rows of a column.
    """
    return torch.einsum("nchw,nhw->nwc", feature_map, scores.softmax(dim=1))


def read_columns(tokens: Sequence[int], blank: int) -> list[int]:
    """Merge the best tokens of the columns: repeats are one character, blanks are none."""
    before = [blank, *tokens]
    return [token for token, last in zip(tokens, before) if token not in (blank, last)]


def run_confidences(
    tokens: Sequence[int], probabilities: Sequence[float], ignored: Container[int]
) -> list[float]:
    """Compute the confidences of the characters that the best tokens of the columns spell.

    A character's confidence is the highest of the probabilities of its columns, which are a run of
    one token. MMOCR's ``score`` is that of the first column, where a character often only begins.
    ``ignored`` are the blank and other tokens that are no characters.
    """
    runs = groupby(zip(tokens, probabilities), key=lambda column: column[0])
    return [max(value for _, value in run) for token, run in runs if token not in ignored]


def ctc_word_confidences(probabilities: Tensor, blank: int, lengths: Sequence[int]) -> Tensor:
    """Compute the probabilities ``(N,)`` of the words that the best tokens spell.

    These are sums over all ways to spell the word. ``probabilities`` are those of the columns,
    ``(N, W, num_classes)``; ``lengths`` are the columns of every word.
    """
    best = probabilities.argmax(dim=-1).tolist()
    words = [read_columns(tokens[:length], blank) for tokens, length in zip(best, lengths)]
    targets = torch.zeros(len(words), max([1, *map(len, words)]), dtype=torch.long)
    for row, word in zip(targets, words):
        row[: len(word)] = torch.tensor(word)
    tiny = torch.finfo(torch.float32).tiny
    logs = probabilities.float().clamp(min=tiny).log().transpose(0, 1)
    losses = F.ctc_loss(
        logs,
        targets.to(logs.device),
        torch.tensor(lengths),
        torch.tensor([len(word) for word in words]),
        blank=blank,
        reduction="none",
    )
    return (-losses).exp().clamp(max=1.0)


def valid_columns(valid_ratios: Sequence[float], width: int) -> list[int]:
    """Count the columns that show the image, not the padding to its right, as MMOCR rounds."""
    return [min(width, math.ceil(width * ratio)) for ratio in valid_ratios]


class ColumnConv(BaseModule):
    """Columns of a map: weighted means over the rows, plus convolutions that distinguish the rows.

    One convolution covers all rows and three columns, the other runs along the columns. The linear
    path past them helps CTC to leave its plateau of blanks.

    Args:
        in_channels: Width of the map.
        num_rows: Rows of the map.
        channels: Width of the columns.
        dropout: Dropout rate after each convolution.
    """

    def __init__(
        self,
        in_channels: int,
        num_rows: int,
        channels: int,
        dropout: float = 0.1,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.num_rows = num_rows
        self.row_score = nn.Conv2d(in_channels, 1, kernel_size=1, bias=False)
        self.skip = nn.Identity() if channels == in_channels else nn.Linear(in_channels, channels)
        self.merge = nn.Conv2d(in_channels, channels, (num_rows, 3), padding=(0, 1))
        self.norm1 = nn.LayerNorm(channels)
        self.along = nn.Conv1d(channels, channels, 3, padding=1)
        self.norm2 = nn.LayerNorm(channels)
        self.out = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.row_score.weight)

    def forward(self, feature_map: Tensor) -> Tensor:
        """Compute columns ``(N, W, channels)`` of a map ``(N, C, H, W)`` with ``num_rows`` rows.

        Raises:
            ValueError: The map has another number of rows.
        """
        if feature_map.shape[2] != self.num_rows:
            raise ValueError(
                f"the map has {feature_map.shape[2]} rows and the decoder takes {self.num_rows}; "
                f"set its num_rows={feature_map.shape[2]}"
            )
        means = pool_rows(feature_map, self.row_score(feature_map).squeeze(1))
        columns = self.merge(feature_map).squeeze(2).transpose(1, 2)
        columns = self.dropout(F.gelu(self.norm1(columns)))
        columns = self.along(columns.transpose(1, 2)).transpose(1, 2)
        columns = self.dropout(F.gelu(self.norm2(columns)))
        return self.skip(means) + self.out(columns)

    def onnx_form(self) -> ColumnConvForm:
        """Make the form that ONNX Runtime runs fastest."""
        return ColumnConvForm(self)


@MODELS.register_module()
class CTCDecoder(WordDecoder):
    """CTC head: a linear layer on every column of a map.

    The loss and the postprocessor are MMOCR's. The blank is the dictionary's padding token.

    Args:
        in_channels: Width of the map.
        pooling: What makes one vector of the rows of a column: ``'conv'`` for :class:`ColumnConv`;
            ``'mean'``; or ``'attention'`` for a mean with weights from a linear score of each cell,
            for lines that are curved, slanted or off the middle. The score has no bias and starts
            at zero, that is, at the plain mean.
        num_rows: Rows of the map; needed by ``'conv'`` alone.
        channels: Width of the columns of ``'conv'``; None for that of the map.
        dropout: Dropout rate of ``'conv'``, after each convolution.
        word_confidence: Whether :meth:`predict` sets ``pred_text.confidence``, the probability of
            the word over all ways to spell it in the columns.
        dictionary: MMOCR's, with a padding token.
        module_loss: MMOCR's ``CTCModuleLoss``.
        postprocessor: MMOCR's ``CTCPostProcessor``.
        max_seq_len: Passed to MMOCR's parts, which do not use it.

    Raises:
        ValueError: ``pooling`` is unknown, or ``num_rows`` or the padding token is missing.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        pooling: str = "attention",
        num_rows: int | None = None,
        channels: int | None = None,
        dropout: float = 0.1,
        word_confidence: bool = False,
        dictionary: Any = None,
        module_loss: dict | None = None,
        postprocessor: dict | None = None,
        max_seq_len: int = 40,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, got {pooling!r}")
        super().__init__(
            dictionary=dictionary,
            postprocessor=postprocessor,
            word_confidence=word_confidence,
            max_seq_len=max_seq_len,
            init_cfg=init_cfg,
        )
        if self.dictionary.padding_idx is None:
            raise ValueError(
                "CTCDecoder needs a dictionary with a padding token, its blank: with_padding=True"
            )
        if module_loss is not None:
            self.module_loss = MMOCR_MODELS.build(self._loss_config(module_loss))
        self.in_channels = in_channels
        self.pooling = pooling
        width = in_channels
        if pooling == "attention":
            self.row_score = nn.Conv2d(in_channels, 1, kernel_size=1, bias=False)
            nn.init.zeros_(self.row_score.weight)
        elif pooling == "conv":
            if num_rows is None:
                raise ValueError("pooling='conv' needs num_rows, the rows of the map: 8 for 32×128")
            width = channels or in_channels
            self.columns = ColumnConv(in_channels, num_rows, width, dropout)
        self.classifier = nn.Linear(width, self.dictionary.num_classes)
        store_settings(self, classes=list(self.dictionary.dict))

    def _loss_config(self, module_loss: dict) -> dict:
        dictionary = copy.copy(self.dictionary)
        # MMOCR's losses need a token to pad with, and treat index 0 as none; CTC does not pad.
        dictionary.end_idx = dictionary.padding_idx
        return dict(module_loss, dictionary=dictionary, max_seq_len=self.max_seq_len)

    def loss(
        self, feat: OptTensor = None, out_enc: OptTensor = None, data_samples: OptSamples = None
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch.

        Raises:
            ValueError: A label is missing, empty, outside the dictionary, or too long for the map.
        """
        labels = self.checked_labels(data_samples)
        logits = self.forward_train(feat, out_enc)
        for text, source in labels:
            needed = columns_needed(self.dictionary.str2idx(text))
            if needed > logits.shape[1]:
                raise ValueError(
                    f"{source}: the label {text!r} needs {needed} columns, one a character and one "
                    f"more between two equal ones, and the CTC head has {logits.shape[1]}; leave "
                    "the image out, or use an autoregressive decoder"
                )
        losses: dict[str, Tensor] = self.module_loss(
            logits, self.module_loss.get_targets(data_samples)
        )
        return losses

    def word_confidences(self, probabilities: Tensor, data_samples: OptSamples) -> Tensor:
        """Compute the probabilities ``(N,)`` of words, over all ways to spell them."""
        ratios = [sample.get("valid_ratio", 1.0) for sample in data_samples or ()]
        lengths = valid_columns(ratios, probabilities.shape[1])
        return ctc_word_confidences(probabilities, self.dictionary.padding_idx, lengths)

    def character_confidences(
        self, probabilities: Tensor, data_samples: Sequence[TextRecogDataSample]
    ) -> list[list[float]]:
        """Compute the confidences of the characters of every word; see :func:`run_confidences`."""
        ratios = [sample.get("valid_ratio", 1.0) for sample in data_samples]
        lengths = valid_columns(ratios, probabilities.shape[1])
        best, tokens = probabilities.max(dim=-1)
        ignored = {self.dictionary.padding_idx, *self.postprocessor.ignore_indexes}
        return [
            run_confidences(word[:length], values[:length], ignored)
            for word, values, length in zip(tokens.tolist(), best.tolist(), lengths)
        ]

    def forward_train(
        self, feat: OptTensor = None, out_enc: OptTensor = None, data_samples: OptSamples = None
    ) -> Tensor:
        """Compute logits ``(N, W, num_classes)`` of the columns of a map ``(N, C, H, W)``.

        The map is ``out_enc`` or, without one, ``feat``.

        Raises:
            ValueError: The input is no map, or of another width.
        """
        feature_map = self._map(feat, out_enc)
        if self.pooling == "attention":
            columns = pool_rows(feature_map, self.row_score(feature_map).squeeze(1))
        elif self.pooling == "conv":
            columns = self.columns(feature_map)
        else:
            columns = feature_map.mean(dim=2).transpose(1, 2)
        # In bf16 the sum over all ways to spell a word would round.
        return self.classifier(columns).float()

    def forward_test(
        self, feat: OptTensor = None, out_enc: OptTensor = None, data_samples: OptSamples = None
    ) -> Tensor:
        """Probabilities ``(N, W, num_classes)``; see :meth:`forward_train`."""
        return self.forward_train(feat, out_enc).softmax(dim=-1)

    def _map(self, feat: OptTensor, out_enc: OptTensor) -> Tensor:
        feature_map = feat if out_enc is None else out_enc
        if not isinstance(feature_map, Tensor) or feature_map.dim() != 4:
            kind = describe_output(feature_map)
            raise ValueError(f"CTCDecoder takes a map (N, C, H, W), got {kind}")
        width = feature_map.shape[1]
        if width != self.in_channels:
            raise ValueError(
                f"the map is {width} wide and CTCDecoder takes {self.in_channels}; set "
                f"in_channels={width} on it"
            )
        return feature_map
