"""Autoregressive text decoder: MMOCR's NRTRDecoder with fast decoding, on maps."""

from __future__ import annotations

import copy
from typing import Any

import torch
from mmocr.models.textrecog.decoders import NRTRDecoder
from mmocr.registry import MODELS as MMOCR_MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from mms_ocr.models.backbones.output_kinds import describe_output
from mms_ocr.models.stored_settings import store_settings
from mms_ocr.models.textrecog.ctc_decoder import ColumnConv, CTCDecoder, valid_columns
from mms_ocr.models.textrecog.decoder_losses import auxiliary_losses, scale_mean
from mms_ocr.models.textrecog.decoding import (
    StepWeights,
    greedy_decode,
    layer_weights,
    word_confidences,
)
from mms_ocr.models.textrecog.word_decoder import (
    OptSamples,
    OptTensor,
    WordDecoder,
)
from mms_ocr.registry import MODELS

START_AND_END = 2


@MODELS.register_module()
class TextDecoder(WordDecoder, NRTRDecoder):
    """Autoregressive pre-norm Transformer decoder.

    Parameters, training output and probabilities up to the end of each word are those of MMOCR's
    ``NRTRDecoder``, so that weights go either way. The differences:

    - Greedy decoding is fast (:mod:`mms_ocr.models.textrecog.decoding`).
    - It takes the map of a backbone, without an encoder between.
    - Padding is masked only on request, and in maps by columns.
    - The padding token of the dictionary may be at index 0, or missing.
    - Labels that do not fit raise errors.
    - A CTC head may train beside it.

    Args:
        d_input: Width of the tokens or map, if not ``d_model``: adds a linear layer ``project``.
        mask_padding: Whether to mask the padding that ``valid_ratio`` gives. NRTRDecoder always
            does, and treats every input as one row.
        word_confidence: Whether :meth:`predict` sets ``pred_text.confidence``.
        columns: Settings of a :class:`~mms_ocr.models.textrecog.ctc_decoder.ColumnConv`:
            ``num_rows``, and ``dropout`` and ``init_cfg`` if needed. It makes one token of every
            column of a map. None for a token of every cell.
        auxiliary: Config of a :class:`CTCDecoder` on the same map, or on the columns as a map of
            one row. Its losses are added in training, times its ``loss_weight`` (1); None for none.
            It has the decoder's dictionary and, by default, width of the map.
        d_model: Width; equal to ``d_embedding``, ``n_head * d_k`` and ``n_head * d_v``.
        module_loss: MMOCR's loss; it pads with the dictionary's padding token if there is one.
        postprocessor: MMOCR's.
        dictionary: MMOCR's, with a start token.
        max_seq_len: Most tokens of a word; in labels, start and end included.
        d_embedding, n_head, d_k, d_v: As of ``NRTRDecoder``.
        **kwargs: Also its: ``n_layers``, ``d_inner``, ``n_position``, ``dropout``, ``init_cfg``.

    Raises:
        ValueError: The widths do not fit together, there are fewer positions than tokens, the
            dictionary has no start token, or ``auxiliary`` is no CTCDecoder with a loss.
    """

    def __init__(
        self,
        *,
        d_input: int | None = None,
        mask_padding: bool = False,
        word_confidence: bool = False,
        columns: dict | None = None,
        auxiliary: dict | None = None,
        d_model: int = 512,
        module_loss: dict | None = None,
        postprocessor: dict | None = None,
        dictionary: Any = None,
        max_seq_len: int = 30,
        d_embedding: int = 512,
        n_head: int = 8,
        d_k: int = 64,
        d_v: int = 64,
        **kwargs: Any,
    ) -> None:
        if not d_model == d_embedding == n_head * d_k == n_head * d_v:
            raise ValueError(
                f"d_model {d_model}, d_embedding {d_embedding}, n_head * d_k = {n_head} * {d_k} "
                f"and n_head * d_v = {n_head} * {d_v} must be equal"
            )
        super().__init__(
            d_model=d_model,
            d_embedding=d_embedding,
            n_head=n_head,
            d_k=d_k,
            d_v=d_v,
            postprocessor=postprocessor,
            dictionary=dictionary,
            word_confidence=word_confidence,
            max_seq_len=max_seq_len,
            **kwargs,
        )
        if self.start_idx is None:
            raise ValueError("TextDecoder needs a dictionary with a start token: with_start=True")
        num_positions = self.position_enc.position_table.shape[1]
        if num_positions < max_seq_len:
            raise ValueError(f"n_position is {num_positions}, less than max_seq_len {max_seq_len}")
        if module_loss is not None:
            self.module_loss = MMOCR_MODELS.build(self._loss_config(module_loss))
        self.mask_padding = mask_padding
        width = d_input or d_model
        self.columns: ColumnConv | None = None
        if columns is not None:
            self.columns = ColumnConv(width, channels=d_model, **columns)
            width = d_model
        self.project: nn.Module = nn.Linear(width, d_model) if width != d_model else nn.Identity()
        self.auxiliary: CTCDecoder | None = None
        if auxiliary is not None:
            settings = {"in_channels": width, **copy.deepcopy(auxiliary)}
            self.auxiliary_weight = settings.pop("loss_weight", 1.0)
            self.auxiliary = MODELS.build(dict(settings, dictionary=self.dictionary))
            if not isinstance(self.auxiliary, CTCDecoder) or self.auxiliary.module_loss is None:
                raise ValueError(
                    "auxiliary of TextDecoder must be a mms_ocr.CTCDecoder with a module_loss, "
                    f"got {auxiliary}"
                )
        store_settings(self, n_head=n_head, classes=list(self.dictionary.dict))

    def _loss_config(self, module_loss: dict) -> dict:
        config = dict(module_loss, dictionary=self.dictionary, max_seq_len=self.max_seq_len)
        # 'auto' treats a padding token at index 0 as none.
        if config.get("pad_with", "auto") == "auto" and self.padding_idx is not None:
            config["pad_with"] = "padding"
        return config

    def loss(
        self, feat: OptTensor = None, out_enc: OptTensor = None, data_samples: OptSamples = None
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch.

        A mean over characters is taken over those of all processes of a job.

        Raises:
            ValueError: A label is missing, empty, too long or outside the dictionary.
        """
        room = self.max_seq_len - START_AND_END + (self.dictionary.end_idx is None)
        for text, source in self.checked_labels(data_samples):
            if len(text) > room:
                raise ValueError(
                    f"{source}: the label {text!r} has {len(text)} characters, and max_seq_len of "
                    f"the decoder leaves room for {room}; raise it, or leave the image out"
                )
        labelled = self.module_loss.get_targets(data_samples)
        targets = torch.stack([sample.gt_text.padded_indexes for sample in labelled])
        criterion = getattr(self.module_loss, "loss_ce", None)
        counted = targets != getattr(criterion, "ignore_index", -1)
        # The loss counts nothing after the longest word of the batch.
        length = int(counted.any(dim=0).nonzero().max()) + 1
        memory, memory_mask = self._memory(feat, out_enc, labelled)
        logits = self._logits(targets[:, :length], memory, memory_mask)
        logits = F.pad(logits, (0, 0, 0, targets.shape[1] - length))
        losses = self.module_loss(logits, labelled)
        if isinstance(criterion, nn.CrossEntropyLoss) and criterion.reduction == "mean":
            number = counted[:, int(self.module_loss.ignore_first_char) :].sum()
            losses["loss_ce"] = scale_mean(losses["loss_ce"], number)
        if self.auxiliary is not None:
            if self.columns is not None:
                feat = memory.transpose(1, 2).unsqueeze(2)
            losses |= auxiliary_losses(self.auxiliary, feat, labelled, self.auxiliary_weight)
        return losses

    def word_confidences(self, probabilities: Tensor, data_samples: OptSamples) -> Tensor:
        """Compute the probabilities ``(N,)`` of words: products over their tokens and their end."""
        return word_confidences(probabilities, self.dictionary.end_idx)

    def forward_train(
        self, feat: OptTensor = None, out_enc: OptTensor = None, data_samples: OptSamples = None
    ) -> Tensor:
        """Compute logits ``(N, max_seq_len, num_classes)`` of the padded labels, shifted by one.

        Args:
            feat: Map ``(N, C, H, W)`` or tokens ``(N, L, C)``; ignored with ``out_enc``.
            out_enc: Tokens of an encoder ``(N, L, C)``.
            data_samples: With ``gt_text.padded_indexes``, which MMOCR's loss sets.

        Raises:
            ValueError: The input is neither, or not ``d_input`` wide.
        """
        memory, memory_mask = self._memory(feat, out_enc, data_samples)
        labels = [sample.gt_text.padded_indexes for sample in data_samples or ()]
        return self._logits(torch.stack(labels), memory, memory_mask)

    def forward_test(
        self, feat: OptTensor = None, out_enc: OptTensor = None, data_samples: OptSamples = None
    ) -> Tensor:
        """Compute probabilities ``(N, max_seq_len, num_classes)``; after a word's end, 1 for it.

        See :meth:`forward_train`; only ``mask_padding`` needs ``data_samples``.
        """
        memory, memory_mask = self._memory(feat, out_enc, data_samples)
        return greedy_decode(
            self.step_weights(),
            memory,
            memory_mask,
            max_length=self.max_seq_len,
            start_idx=self.start_idx,
            end_idx=self.dictionary.end_idx,
            padding_idx=self.padding_idx,
        )

    def step_weights(self) -> StepWeights:
        """Prepare what :func:`~mms_ocr.models.textrecog.decoding.decoding_step` needs."""
        return StepWeights(
            self.trg_word_emb,
            self.position_enc.position_table[0],
            [layer_weights(layer) for layer in self.layer_stack],
            self.layer_norm,
            self.classifier,
        )

    def _logits(self, targets: Tensor, memory: Tensor, memory_mask: Tensor | None) -> Tensor:
        return self.classifier(self._attention(targets.to(memory.device), memory, memory_mask))

    def _memory(
        self, feat: OptTensor, out_enc: OptTensor, data_samples: OptSamples
    ) -> tuple[Tensor, Tensor | None]:
        """Return image tokens ``(N, L, d_model)`` and their mask ``(N, L)``, None for all."""
        image: Any = feat if out_enc is None else out_enc
        dims = image.dim() if isinstance(image, Tensor) else 0
        if dims == 4 and self.columns is not None:
            tokens, grid = self.columns(image), (1, image.shape[3])
        elif dims == 4 and out_enc is None:
            tokens, grid = image.flatten(2).transpose(1, 2), tuple(image.shape[2:])
        elif dims == 3 and self.columns is None:
            tokens, grid = image, (1, image.shape[1])
        else:
            kinds = "a map (N, C, H, W)"
            if self.columns is None:
                kinds += " or tokens (N, L, C)"
            raise ValueError(f"TextDecoder takes {kinds}, got {describe_output(image)}")
        memory = self.project(tokens)
        if memory.shape[-1] != self.trg_word_emb.embedding_dim:
            raise ValueError(
                f"the image tokens are {memory.shape[-1]} wide and the decoder "
                f"{self.trg_word_emb.embedding_dim}; set d_input={memory.shape[-1]} on TextDecoder"
            )
        if not self.mask_padding or data_samples is None:
            return memory, None
        ratios = [sample.get("valid_ratio", 1.0) for sample in data_samples]
        columns = torch.tensor(valid_columns(ratios, grid[1]))
        row = torch.arange(grid[1]) < columns[:, None]
        return memory, row.repeat(1, grid[0]).to(memory.device)

    def _get_target_mask(self, trg_seq: Tensor) -> Tensor:
        length = trg_seq.shape[1]
        mask = torch.ones(1, length, length, dtype=torch.bool, device=trg_seq.device).tril()
        if self.padding_idx is None:
            return mask
        return mask & (trg_seq != self.padding_idx).unsqueeze(1)
