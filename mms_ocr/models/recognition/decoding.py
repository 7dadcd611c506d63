"""Greedy decoding with a pre-norm Transformer decoder: one token of every word at a time.

The layers are MMOCR's ``TFDecoderLayer`` as NRTRDecoder stacks them, and the results are those of
running its whole sequence again at every step. Three things make it fast:

- Keys and values of the tokens written so far are kept.
- Attention to the image never makes keys or values of it. With queries ``q``, image tokens ``m``
  and one head's weights ``W_k`` and ``W_v``, the scores ``q · (W_k m)`` are ``(W_k' q) · m``, and
  the mean of ``W_v m`` is ``W_v`` of the mean of ``m``. A word has far fewer tokens than its image,
  so that projecting queries and means costs less than projecting the image, and all layers read
  the same tokens from the cache of the processor.
- Words that have ended leave the batch, and when all have, decoding stops.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["StepWeights", "decoding_step", "greedy_decode", "word_confidences"]

# Taking words out copies what is kept of the others. Done once a quarter has ended, all copying
# together moves each word at most a few times.
MOST_KEPT = 0.75

Cache = tuple[tuple[Tensor, Tensor], ...]


class StepWeights(NamedTuple):
    """The modules of a decoder that a step uses; see NRTRDecoder for what each is."""

    embedding: nn.Embedding
    positions: Tensor
    layers: Sequence[Any]
    norm: nn.Module
    classifier: nn.Module


def decoding_step(
    weights: StepWeights,
    tokens: Tensor,
    position: Tensor,
    visible: Tensor,
    cache: Cache,
    memory: Tensor,
    memory_mask: Tensor | None = None,
) -> Tensor:
    """Logits of the token that follows each word's newest one.

    Neither shapes nor the course of the computation depend on the values of tensors, so that it can
    be traced and exported.

    Args:
        weights: The decoder's modules, in evaluation mode.
        tokens: Newest token of every word, int64 ``(N,)``.
        position: Its place in the word, int64 ``(1,)``.
        visible: Which places may be attended to, bool ``(N, T)``; none after the newest one.
        cache: For every layer, keys and values of the tokens at all places, ``(N, heads, T, d)``
            each. Those of the newest tokens are written into it.
        memory: Tokens of the image ``(N, L, C)``.
        memory_mask: Which of them may be attended to, bool ``(N, L)``; None for all.

    Returns:
        Logits ``(N, num_classes)``.
    """
    hidden = weights.embedding(tokens) + weights.positions.index_select(0, position)
    unseen = ~visible[:, None, None, :]
    outside = None if memory_mask is None else ~memory_mask[:, None, :]
    for layer, kept in zip(weights.layers, cache):
        hidden = hidden + _attend_to_word(
            layer.self_attn, layer.norm1(hidden), position, kept, unseen
        )
        hidden = hidden + _attend_to_image(layer.enc_attn, layer.norm2(hidden), memory, outside)
        hidden = hidden + layer.mlp(layer.norm3(hidden))
    return weights.classifier(weights.norm(hidden))


def _attend_to_word(
    attention: Any,
    query: Tensor,
    position: Tensor,
    kept: tuple[Tensor, Tensor],
    unseen: Tensor,
) -> Tensor:
    heads = attention.n_head
    keys, values = kept
    keys.index_copy_(2, position, attention.linear_k(query).unflatten(1, (heads, 1, -1)))
    values.index_copy_(2, position, attention.linear_v(query).unflatten(1, (heads, 1, -1)))
    q = attention.linear_q(query).unflatten(1, (heads, 1, -1)) * attention.d_k**-0.5
    scores = (q @ keys.transpose(2, 3)).masked_fill(unseen, float("-inf"))
    return attention.fc((scores.softmax(dim=-1) @ values).flatten(1))


def _attend_to_image(
    attention: Any, query: Tensor, memory: Tensor, outside: Tensor | None
) -> Tensor:
    heads = attention.n_head
    to_keys = attention.linear_k.weight.unflatten(0, (heads, -1))  # (heads, d, C)
    to_values = attention.linear_v.weight.unflatten(0, (heads, -1))
    q = attention.linear_q(query).unflatten(1, (heads, -1)) * attention.d_k**-0.5
    q = (q.transpose(0, 1) @ to_keys).transpose(0, 1)  # (N, heads, C)
    scores = q @ memory.transpose(1, 2)
    if outside is not None:
        scores = scores.masked_fill(outside, float("-inf"))
    means = scores.softmax(dim=-1) @ memory  # (N, heads, C)
    values = means.transpose(0, 1) @ to_values.transpose(1, 2)  # (heads, N, d)
    return attention.fc(values.transpose(0, 1).flatten(1))


def empty_cache(weights: StepWeights, memory: Tensor, max_length: int) -> Cache:
    """Room for the keys and values of ``max_length`` tokens of every word."""
    attentions = [layer.self_attn for layer in weights.layers]
    return tuple(
        (
            memory.new_zeros(len(memory), attention.n_head, max_length, attention.d_k),
            memory.new_zeros(len(memory), attention.n_head, max_length, attention.d_v),
        )
        for attention in attentions
    )


@torch.no_grad()
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
        weights: The decoder's modules, in evaluation mode.
        memory: Tokens of the images ``(N, L, C)``.
        memory_mask: Which of them may be attended to, bool ``(N, L)``; None for all.
        max_length: Most tokens of a word, the end token included.
        start_idx: Index of the token before every word.
        end_idx: Index of the token that ends a word; None writes ``max_length`` tokens always.
        padding_idx: Index of the token that later ones must not attend to, if there is one.

    Returns:
        Probabilities ``(N, max_length, num_classes)``. After a word's end they are 1 for the end
        token.
    """
    num_classes = weights.embedding.num_embeddings
    result = memory.new_zeros(len(memory), max_length, num_classes)
    if end_idx is not None:
        result[:, :, end_idx] = 1
    words = torch.arange(len(memory), device=memory.device)  # the word of each row still here
    going = torch.ones_like(words, dtype=torch.bool)
    tokens = torch.full_like(words, start_idx)
    seen = going
    visible = torch.zeros(len(memory), max_length, dtype=torch.bool, device=memory.device)
    cache = empty_cache(weights, memory, max_length)
    for step in range(max_length if len(memory) else 0):
        position = torch.full((1,), step, device=memory.device)
        # A padding token is attended to by nothing, not even by its own place.
        visible[:, step] = seen
        logits = decoding_step(weights, tokens, position, visible, cache, memory, memory_mask)
        probabilities = logits.softmax(dim=-1).to(result.dtype)
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
            cache = tuple((keys[going], values[going]) for keys, values in cache)
            going = going[going]
    return result


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
