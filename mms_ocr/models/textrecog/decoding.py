"""Greedy decoding with a pre-norm Transformer decoder: one token of every word at a time.

The layers and results are those of MMOCR's ``NRTRDecoder``, which runs its whole sequence again at
every step. Three things make this one fast:

- Keys and values of earlier tokens are cached.
- Attention to the image uses the image tokens ``m`` themselves as keys and values. With a query
  ``q`` and one head's weights ``W_k`` and ``W_v``, the scores ``q · (W_k m)`` are
  ``(W_k' q) · m``, and the mean of ``W_v m`` is ``W_v`` of the mean of ``m``. With ``h`` heads and
  ``C`` channels this costs less for words of up to about ``C / (h - 1)`` tokens.
- Words that have ended leave the batch, and decoding stops when all have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Removing words copies the cache of the others. Removed a quarter at a time, each word is copied
# only a few times.
MAX_SHARE_KEPT = 0.75

Cache = tuple[Tensor, ...]


class LayerWeights(NamedTuple):
    """A decoder layer, MMOCR's ``TFDecoderLayer``, and products of its weights."""

    layer: Any
    qkv_weight: Tensor  # of the word, to queries, keys and values, (3 * heads * d, C)
    qkv_bias: Tensor | None
    to_keys: Tensor  # per head, from queries (heads, N, d) to (heads, N, C), with the scale
    to_values: Tensor  # per head, from means (heads, N, C) to (heads, N, d)


class StepWeights(NamedTuple):
    """Weights of a decoder that :func:`decoding_step` needs, named as in NRTRDecoder."""

    embedding: nn.Embedding
    positions: Tensor
    layers: Sequence[LayerWeights]
    norm: nn.Module
    classifier: nn.Module


def layer_weights(layer: Any) -> LayerWeights:
    """Prepare the weights of a ``TFDecoderLayer``."""
    word, image = layer.self_attn, layer.enc_attn
    parts = (word.linear_q, word.linear_k, word.linear_v)
    return LayerWeights(
        layer,
        torch.cat([part.weight for part in parts]),
        None if word.fc.bias is None else torch.cat([part.bias for part in parts]),
        image.linear_k.weight.unflatten(0, (image.n_head, -1)) * image.d_k**-0.5,
        image.linear_v.weight.unflatten(0, (image.n_head, -1)).transpose(1, 2),
    )


def decoding_step(
    weights: StepWeights,
    tokens: Tensor,
    position: Tensor,
    visible: Tensor,
    cache: Cache,
    memory: Tensor,
    memory_mask: Tensor | None = None,
    grown: list[Tensor] | None = None,
) -> Tensor:
    """Compute logits ``(N, num_classes)`` of the token after each word's newest one.

    No shape and no branch depends on values of tensors, so that it can be traced.

    Args:
        weights: Weights of the decoder.
        tokens: Newest token of every word, int64 ``(N,)``.
        position: Its position in the word, int64 ``(1,)``.
        visible: Positions that may be attended to, bool ``(N, T)``; none after the newest one.
        cache: For every layer, keys and values of the tokens, ``(N, 2, heads, T, d)``. Those of
            the newest tokens are written into it.
        memory: Image tokens ``(N, L, C)``.
        memory_mask: Image tokens that may be attended to, bool ``(N, L)``; None for all.
        grown: With a list, ``cache`` has ``T - 1`` positions and is not written; the list gets the
            layers of the next cache, of ``T``.
    """
    hidden = weights.embedding(tokens) + weights.positions.index_select(0, position)
    # (N, heads, queries, keys) for the word; the heads are queries of one head for the image.
    word_bias = _attention_bias(visible, hidden.dtype)
    image_bias = None if memory_mask is None else _attention_bias(memory_mask, hidden.dtype)
    for layer, cached in zip(weights.layers, cache):
        parts = layer.layer
        query = parts.norm1(hidden)
        hidden = hidden + _attend_to_word(layer, query, position, cached, word_bias, grown)
        hidden = hidden + _attend_to_image(layer, parts.norm2(hidden), memory, image_bias)
        mlp = parts.mlp
        hidden = hidden + mlp.w_2(mlp.act(mlp.w_1(parts.norm3(hidden))))
    return weights.classifier(weights.norm(hidden))


def _attention_bias(attended: Tensor, dtype: torch.dtype) -> Tensor:
    """Bias of scores ``(N, 1, 1, places)``: 0, or minus infinity to hide a place."""
    zeros = torch.zeros_like(attended, dtype=dtype)
    return zeros.masked_fill(~attended, float("-inf"))[:, None, None]


def _attend_to_word(
    weights: LayerWeights,
    query: Tensor,
    position: Tensor,
    cached: Tensor,
    bias: Tensor,
    grown: list[Tensor] | None,
) -> Tensor:
    attention = weights.layer.self_attn
    qkv = F.linear(query, weights.qkv_weight, weights.qkv_bias)
    qkv = qkv.unflatten(1, (3, attention.n_head, 1, -1))
    newest = qkv[:, 1:].to(cached.dtype)  # of another type under autocast
    if grown is None:
        cached.index_copy_(3, position, newest)
    else:
        cached = torch.cat([cached, newest], dim=3)
        grown.append(cached)
    values = F.scaled_dot_product_attention(qkv[:, 0], cached[:, 0], cached[:, 1], attn_mask=bias)
    return attention.fc(values.flatten(1))


def _attend_to_image(
    weights: LayerWeights, query: Tensor, memory: Tensor, bias: Tensor | None
) -> Tensor:
    attention = weights.layer.enc_attn
    q = attention.linear_q(query).unflatten(1, (attention.n_head, -1))
    q = torch.bmm(q.transpose(0, 1), weights.to_keys).transpose(0, 1)[:, None]
    tokens = memory[:, None]
    means = F.scaled_dot_product_attention(q, tokens, tokens, attn_mask=bias, scale=1.0)
    values = torch.bmm(means[:, 0].transpose(0, 1), weights.to_values)  # (heads, N, d)
    return attention.fc(values.transpose(0, 1).flatten(1))


def empty_cache(weights: StepWeights, memory: Tensor, max_length: int) -> Cache:
    """Allocate keys and values of ``max_length`` tokens of every word."""
    return tuple(
        memory.new_zeros(len(memory), 2, attention.n_head, max_length, attention.d_k)
        for attention in (layer.layer.self_attn for layer in weights.layers)
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

    Returns probabilities ``(N, max_length, num_classes)``; after a word's end, 1 for the end token.

    Args:
        weights: Weights of the decoder.
        memory: Image tokens ``(N, L, C)``.
        memory_mask: Image tokens that may be attended to, bool ``(N, L)``; None for all.
        max_length: Most tokens of a word, the end token included.
        start_idx: Index of the token before every word.
        end_idx: Index of the token that ends a word; None always writes ``max_length`` tokens.
        padding_idx: Index of the token that later ones must not attend to, if there is one.

    Raises:
        ValueError: It is traced, which would fix the number of steps.
    """
    if torch.jit.is_tracing():
        raise ValueError(
            "the steps of decoding depend on the image and cannot be traced; trace the "
            "backbone and decoding_step (mms_ocr.models.textrecog.decoding)"
        )
    # Half precision holds neither probabilities close to 1 nor their products.
    dtype = torch.promote_types(memory.dtype, torch.float32)
    num_words, num_classes = len(memory), weights.embedding.num_embeddings
    result = memory.new_zeros(num_words, max_length, num_classes, dtype=dtype)
    if end_idx is not None:
        result[:, :, end_idx] = 1
    # Cheaper than no_grad; the result is made outside, so that callers may write into it.
    with torch.inference_mode():
        memory = memory.contiguous()  # a map may be channel by channel
        words = torch.arange(num_words, device=memory.device)  # the word of each row
        active = torch.ones_like(words, dtype=torch.bool)
        tokens = torch.full_like(words, start_idx)
        visible = torch.zeros(num_words, max_length, dtype=torch.bool, device=memory.device)
        cache = empty_cache(weights, memory, max_length)
        for step in range(max_length if num_words else 0):
            # A padding token is attended to by nothing, not even by its own position.
            visible[:, step] = True if padding_idx is None or step == 0 else tokens != padding_idx
            logits = decoding_step(
                weights,
                tokens,
                torch.full((1,), step, device=memory.device),
                visible[:, : step + 1],
                tuple(layer[:, :, :, : step + 1] for layer in cache),
                memory,
                memory_mask,
            )
            result[words[active], step] = logits.to(dtype).softmax(dim=-1)[active]
            tokens = logits.argmax(dim=-1)
            if end_idx is None:
                continue
            active = active & (tokens != end_idx)
            num_active = int(active.sum())
            if num_active == 0:
                break
            if num_active <= MAX_SHARE_KEPT * len(active):
                words, tokens, visible = words[active], tokens[active], visible[active]
                memory = memory[active]
                memory_mask = None if memory_mask is None else memory_mask[active]
                cache = tuple(layer[active] for layer in cache)
                active = active[active]
    return result


def word_confidences(probabilities: Tensor, end_idx: int | None) -> Tensor:
    """Compute the probabilities ``(N,)`` of words: the products over their tokens and their end.

    ``probabilities`` of greedily chosen tokens are ``(N, T, num_classes)``; without ``end_idx`` all
    tokens count.
    """
    best, tokens = probabilities.max(dim=-1)
    if end_idx is not None:
        ends = (tokens == end_idx).long()
        after_end = ends.cumsum(dim=1) - ends > 0
        best = best.masked_fill(after_end, 1.0)
    return best.prod(dim=1)
