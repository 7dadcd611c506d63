"""Greedy decoding with a pre-norm Transformer decoder: one token of every word at a time.

The layers are MMOCR's ``TFDecoderLayer`` as NRTRDecoder stacks them, and the results are those of
running its whole sequence again at every step. Four things make it fast:

- Keys and values of the tokens written so far are kept.
- Attention to the image never makes keys or values of it. With queries ``q``, image tokens ``m``
  and one head's weights ``W_k`` and ``W_v``, the scores ``q · (W_k m)`` are ``(W_k' q) · m``, and
  the mean of ``W_v m`` is ``W_v`` of the mean of ``m``. With ``h`` heads and ``C`` channels this
  costs less until a word has about ``C / (h - 1)`` tokens, 55 of 384 channels and 8 heads, and all
  layers read the same tokens from the cache of the processor.
- Words that have ended leave the batch, and when all have, decoding stops.
- Weights are packed, and kept so until they change
  (:class:`~mms_ocr.models.textrecog.step_weights.KeptLayers`); so are the images of a batch whose
  words prove long (:mod:`mms_ocr.models.textrecog.packing`).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mms_ocr.models.textrecog.packing import (
    PackedImages,
    attend_packed,
    can_pack,
    pack_images,
)
from mms_ocr.models.textrecog.step_weights import LayerWeights, StepWeights

# Taking words out copies what is kept of the others. Done once a quarter has ended, all copying
# together moves each word at most a few times.
MOST_KEPT = 0.75
# Packing the images costs about what it saves in four steps, and is lost when words leave the
# batch: it is done once none has left for so many steps. Fewer images gain nothing by it.
PACK_AFTER = 8
BATCH = 8

Cache = tuple[Tensor, ...]


def decoding_step(
    weights: StepWeights,
    tokens: Tensor,
    position: Tensor,
    visible: Tensor | None,
    cache: Cache,
    memory: Tensor | PackedImages,
    memory_mask: Tensor | None = None,
) -> Tensor:
    """Logits of the token that follows each word's newest one.

    Neither shapes nor the course of the computation depend on the values of tensors, so that it can
    be traced and exported.

    Args:
        weights: The decoder's weights, in evaluation mode.
        tokens: Newest token of every word, int64 ``(N,)``.
        position: Its place in the word, int64 ``(1,)``.
        visible: Which places may be attended to, bool ``(N, T)``; none after the newest one. None
            for all.
        cache: For every layer, keys and values of the tokens at all places,
            ``(N, 2, heads, T, d)``. Those of the newest tokens are written into it.
        memory: Tokens of the image ``(N, L, C)``, or the same packed, which cannot be exported.
        memory_mask: Which of them may be attended to, bool ``(N, L)``; None for all.

    Returns:
        Logits ``(N, num_classes)``.
    """
    hidden = weights.embedding(tokens) + weights.positions.index_select(0, position)
    unseen = None if visible is None else _score_mask(visible, hidden.dtype)[:, None, None]
    outside = None if memory_mask is None else _score_mask(memory_mask, hidden.dtype)
    for layer, kept in zip(weights.layers, cache):
        hidden = hidden + _attend_to_word(layer, layer.word_norm(hidden), position, kept, unseen)
        hidden = hidden + _attend_to_image(layer, layer.image_norm(hidden), memory, outside)
        inner = layer.activation(layer.ffn_in(layer.ffn_norm(hidden)))
        hidden = hidden + layer.ffn_out(inner)
    return weights.classifier(weights.norm(hidden))


def _score_mask(attended: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to scores ``(N, places)``: 0, or what hides a place."""
    zeros = torch.zeros_like(attended, dtype=dtype)
    return zeros.masked_fill(~attended, float("-inf"))


def _attend_to_word(
    layer: LayerWeights, query: Tensor, position: Tensor, kept: Tensor, unseen: Tensor | None
) -> Tensor:
    qkv = layer.word_qkv(query).unflatten(1, (3, layer.heads, 1, -1))
    kept.index_copy_(3, position, qkv[:, 1:].to(kept.dtype))  # of another type under autocast
    found = F.scaled_dot_product_attention(qkv[:, 0], kept[:, 0], kept[:, 1], attn_mask=unseen)
    return layer.word_out(found.flatten(1))


def _attend_to_image(
    layer: LayerWeights, query: Tensor, memory: Tensor | PackedImages, outside: Tensor | None
) -> Tensor:
    q = layer.image_query(query).unflatten(1, (layer.heads, -1))
    q = torch.bmm(q.transpose(0, 1), layer.to_keys)  # (heads, N, C)
    if isinstance(memory, PackedImages):
        means = attend_packed(q, memory, outside)
    else:
        # The heads are so many queries to the same keys and values.
        mask = None if outside is None else outside[:, None, None]
        q, tokens = q.transpose(0, 1)[:, None], memory[:, None]
        means = F.scaled_dot_product_attention(q, tokens, tokens, attn_mask=mask, scale=1.0)
        means = means[:, 0].transpose(0, 1)
    values = torch.bmm(means, layer.to_values)  # (heads, N, d)
    return layer.image_out(values.transpose(0, 1).flatten(1))


def empty_cache(weights: StepWeights, memory: Tensor, max_length: int) -> Cache:
    """Room for the keys and values of ``max_length`` tokens of every word."""
    return tuple(
        memory.new_zeros(len(memory), 2, layer.heads, max_length, layer.key_width)
        for layer in weights.layers
    )


def greedy_decode(
    weights: StepWeights,
    memory: Tensor,
    memory_mask: Tensor | None = None,
    *,
    max_length: int,
    start_idx: int,
    end_idx: int | None,
    padding_idx: int | None,
) -> Tensor:
    """Write every word token by token, taking the most probable one each time.

    Args:
        weights: The decoder's weights, in evaluation mode.
        memory: Tokens of the images ``(N, L, C)``.
        memory_mask: Which of them may be attended to, bool ``(N, L)``; None for all.
        max_length: Most tokens of a word, the end token included.
        start_idx: Index of the token before every word.
        end_idx: Index of the token that ends a word; None writes ``max_length`` tokens always.
        padding_idx: Index of the token that later ones must not attend to, if there is one.

    Returns:
        Probabilities ``(N, max_length, num_classes)``. After a word's end they are 1 for the end
        token.

    Raises:
        ValueError: It is traced, which would fix the number of steps.
    """
    if torch.jit.is_tracing():
        raise ValueError(
            "the steps of decoding depend on the image and cannot be traced; trace the "
            "backbone and decoding_step (mms_ocr.models.textrecog.decoding)"
        )
    num_classes = weights.embedding.num_embeddings
    # Half precision holds neither probabilities close to 1 nor their products.
    dtype = torch.promote_types(memory.dtype, torch.float32)
    result = memory.new_zeros(len(memory), max_length, num_classes, dtype=dtype)
    if end_idx is not None:
        result[:, :, end_idx] = 1
    # Fewer things are kept track of than under no_grad. What is returned was made outside.
    with torch.inference_mode():
        _write(result, weights, memory, memory_mask, start_idx, end_idx, padding_idx)
    return result


def _write(
    result: Tensor,
    weights: StepWeights,
    memory: Tensor,
    memory_mask: Tensor | None,
    start_idx: int,
    end_idx: int | None,
    padding_idx: int | None,
) -> None:
    """Put the probabilities of every word up to its end into ``result``."""
    max_length = result.shape[1]
    memory = memory.contiguous()  # as a map, it may lie in memory channel by channel
    images: Tensor | PackedImages = memory
    words = torch.arange(len(memory), device=memory.device)  # the word of each row still here
    going = torch.ones_like(words, dtype=torch.bool)
    tokens = torch.full_like(words, start_idx)
    seen = going
    visible = torch.zeros(len(memory), max_length, dtype=torch.bool, device=memory.device)
    all_visible = memory.device.type == "cpu"  # elsewhere, to ask would cost more than a mask
    cache = empty_cache(weights, memory, max_length)
    changed_at = 0
    for step in range(max_length if len(memory) else 0):
        position = torch.full((1,), step, device=memory.device)
        # A padding token is attended to by nothing, not even by its own place.
        visible[:, step] = seen
        all_visible = all_visible and bool(seen.all())
        if step == changed_at + PACK_AFTER and len(memory) >= BATCH and can_pack(memory):
            images = pack_images(memory, weights.layers[0].heads)
        filled = tuple(kept[:, :, :, : step + 1] for kept in cache)
        logits = decoding_step(
            weights,
            tokens,
            position,
            None if all_visible else visible[:, : step + 1],
            filled,
            images,
            memory_mask,
        )
        probabilities = logits.to(result.dtype).softmax(dim=-1)
        result[words[going], step] = probabilities[going]
        tokens = logits.argmax(dim=-1)
        seen = torch.ones_like(going) if padding_idx is None else tokens != padding_idx
        if end_idx is None:
            continue
        going = going & (tokens != end_idx)
        num_going = int(going.sum())
        if num_going == 0:
            break
        if num_going <= MOST_KEPT * len(going):
            words, tokens, seen = words[going], tokens[going], seen[going]
            visible, memory = visible[going], memory[going]
            memory_mask = None if memory_mask is None else memory_mask[going]
            cache = tuple(kept[going] for kept in cache)
            going = going[going]
            images, changed_at = memory, step


def word_confidences(probabilities: Tensor, end_idx: int | None) -> Tensor:
    """Probability of every word as it was written: the product over its tokens and its end.

    Args:
        probabilities: Of greedily chosen tokens, ``(N, T, num_classes)``.
        end_idx: Index of the token that ends a word; None counts all tokens.

    Returns:
        Between 0 and 1, ``(N,)``.
    """
    best, tokens = probabilities.max(dim=-1)
    if end_idx is not None:
        ends = (tokens == end_idx).long()
        after_end = ends.cumsum(dim=1) - ends > 0
        best = best.masked_fill(after_end, 1.0)
    return best.prod(dim=1)
