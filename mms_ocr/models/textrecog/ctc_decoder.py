"""The CTC head: the columns of a map, and a linear layer on each."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from mmocr.models.textrecog.decoders import BaseDecoder
from mmocr.registry import MODELS as MMOCR_MODELS
from mmocr.structures import TextRecogDataSample
from torch import Tensor, nn

from mms_ocr.models.backbones.output_kinds import describe_output
from mms_ocr.models.strict_init import StrictInitModule
from mms_ocr.models.textrecog.classes import store_classes
from mms_ocr.models.textrecog.column_conv import ColumnConv
from mms_ocr.models.textrecog.ctc import ctc_word_confidences, pool_rows, valid_columns
from mms_ocr.models.textrecog.labels import check_labels, check_width
from mms_ocr.registry import MODELS
from mms_ocr.utils.dictionaries import check_dictionaries

POOLINGS = ("attention", "conv", "mean")


@MODELS.register_module()
class CTCDecoder(StrictInitModule, BaseDecoder):
    """Reads every column of a map by itself; MMOCR's CTC loss and postprocessor do the rest.

    The rows of a column become one vector, and a linear layer makes the logits of its characters
    and the blank, which is the dictionary's padding token. How the rows become one:

    - ``'conv'``: the weighted mean of ``'attention'``, and what a convolution over all rows and
      three columns, and another along the columns, add to it
      (:class:`~mms_ocr.models.textrecog.column_conv.ColumnConv`). It tells the rows apart.
    - ``'attention'``: each cell is weighted by a linear score of its own: a line that is curved,
      slanted or off the middle lies in other rows in every column, and the mean mixes it with as
      much background. The score has no bias and starts at zero, so that training starts from the
      mean. With it, the head on a frozen encoder is linear but for these weights.
    - ``'mean'``: all rows alike.

    Args:
        in_channels: Width of the map.
        pooling: How the rows become one: ``'attention'``, ``'conv'`` or ``'mean'``.
        num_rows: Rows of the map; needed by ``'conv'`` alone.
        channels: Width of the columns that ``'conv'`` makes; None for that of the map.
        dropout: Of ``'conv'``, after each convolution.
        word_confidence: Whether :meth:`predict` sets ``pred_text.confidence``, the probability of
            the word over all ways to spell it in the columns.
        dictionary: MMOCR's, with a padding token.
        module_loss: MMOCR's ``CTCModuleLoss``.
        postprocessor: MMOCR's ``CTCPostProcessor``.
        max_seq_len: Handed on to MMOCR's parts, which do not use it; words are as long as their
            columns allow.
        init_cfg: Initialization, as everywhere in MMEngine.

    Raises:
        ValueError: The pooling is unknown or lacks ``num_rows``, or the dictionary is missing or
            has no padding token.
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
        if dictionary is None:
            raise ValueError("CTCDecoder needs a dictionary, such as dict(type='mmocr.Dictionary')")
        check_dictionaries(dictionary)
        super().__init__(
            # MMOCR's decoders write into the configs that they are given.
            dictionary=copy.deepcopy(dictionary),
            postprocessor=copy.deepcopy(postprocessor),
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
        self.word_confidence = word_confidence
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
        store_classes(self)

    def _loss_config(self, module_loss: dict) -> dict:
        dictionary = copy.copy(self.dictionary)
        # MMOCR's losses ask for a token to pad with, take index 0 for none, and CTC pads nothing.
        dictionary.end_idx = dictionary.padding_idx
        return dict(module_loss, dictionary=dictionary, max_seq_len=self.max_seq_len)

    def loss(
        self,
        feat: Tensor | None = None,
        out_enc: Tensor | None = None,
        data_samples: Sequence[TextRecogDataSample] | None = None,
    ) -> dict[str, Tensor]:
        """Losses of a batch, as MMOCR's loss gives them.

        Raises:
            ValueError: A label is empty, outside the dictionary, or needs more columns than there
                are; or there is none.
        """
        if data_samples is None or self.module_loss is None:
            raise ValueError("the loss of a CTCDecoder needs data_samples, and a module_loss")
        feature_map = self._map(feat, out_enc)
        width = feature_map.shape[-1]
        check_labels(
            data_samples,
            self.dictionary,
            self.module_loss.letter_case,
            lambda text, source: check_width(text, self.dictionary.str2idx(text), width, source),
        )
        logits = self._logits(feature_map)
        return self.module_loss(logits, self.module_loss.get_targets(data_samples))

    def predict(
        self,
        feat: Tensor | None = None,
        out_enc: Tensor | None = None,
        data_samples: Sequence[TextRecogDataSample] | None = None,
    ) -> Sequence[TextRecogDataSample]:
        """Read a batch: the data samples with ``pred_text``, its ``item`` and ``score``."""
        probabilities = self.forward_test(feat, out_enc, data_samples)
        samples = self.postprocessor(probabilities, data_samples)
        if self.word_confidence:
            ratios = [sample.get("valid_ratio", 1.0) for sample in samples]
            lengths = valid_columns(ratios, probabilities.shape[1])
            blank = self.dictionary.padding_idx
            confidences = ctc_word_confidences(probabilities, blank, lengths).tolist()
            for sample, confidence in zip(samples, confidences):
                sample.pred_text.confidence = confidence
        return samples

    def forward_train(
        self,
        feat: Tensor | None = None,
        out_enc: Tensor | None = None,
        data_samples: Sequence[TextRecogDataSample] | None = None,
    ) -> Tensor:
        """Logits ``(N, W, num_classes)`` of the columns of a map ``(N, C, H, W)``.

        Args:
            feat: Map of the backbone; used where there is no ``out_enc``.
            out_enc: Map of an encoder.
            data_samples: Not used.
        """
        return self._logits(self._map(feat, out_enc))

    def forward_test(
        self,
        feat: Tensor | None = None,
        out_enc: Tensor | None = None,
        data_samples: Sequence[TextRecogDataSample] | None = None,
    ) -> Tensor:
        """Probabilities ``(N, W, num_classes)``; see :meth:`forward_train`."""
        return self.forward_train(feat, out_enc).softmax(dim=-1)

    def _logits(self, feature_map: Tensor) -> Tensor:
        if self.pooling == "attention":
            columns = pool_rows(feature_map, self.row_score(feature_map).squeeze(1))
        elif self.pooling == "conv":
            columns = self.columns(feature_map)
        else:
            columns = feature_map.mean(dim=2).transpose(1, 2)
        # In bf16 the sum over all ways to spell a word would round.
        return self.classifier(columns).float()

    def _map(self, feat: Tensor | None, out_enc: Tensor | None) -> Tensor:
        given = feat if out_enc is None else out_enc
        if not isinstance(given, Tensor) or given.dim() != 4:
            raise ValueError(f"CTCDecoder takes a map (N, C, H, W), got {describe_output(given)}")
        if given.shape[1] != self.in_channels:
            raise ValueError(
                f"the map is {given.shape[1]} wide and CTCDecoder takes {self.in_channels}; set "
                f"in_channels={given.shape[1]} on it"
            )
        return given
