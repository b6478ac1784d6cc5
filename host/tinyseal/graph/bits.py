"""Tensors of signs: 32 to a word, one bit each.

A sign tensor [..., C] is stored as int32 words [..., ceil(C / 32)]: channel c is bit c % 32 of
word c // 32, set for -1 and clear for +1. The bits past the last channel are clear, in
activations and in weights, so that they never count in a popcount of an exclusive or.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tinyseal.graph.lowering import Array

WORD_BITS: Final = 32


def word_count(channels: int) -> int:
    return -(-channels // WORD_BITS)


def pack(negative: Array) -> Array:
    """Booleans [..., C], true for -1, as int32 words [..., ceil(C / 32)]."""
    channels = negative.shape[-1]
    padded = np.zeros((*negative.shape[:-1], word_count(channels) * WORD_BITS), dtype=bool)
    padded[..., :channels] = negative
    return np.packbits(padded, axis=-1, bitorder="little").view("<i4").astype(np.int32)


def unpack(words: Array, channels: int) -> Array:
    """int32 words [..., ceil(C / 32)] as int8 signs, +1 or -1, [..., C]."""
    octets = np.ascontiguousarray(words).astype("<i4").view(np.uint8)
    bits = np.unpackbits(octets, axis=-1, count=channels, bitorder="little")
    return (1 - 2 * bits.astype(np.int8)).astype(np.int8)


def tail_is_clear(words: Array, channels: int) -> bool:
    """Whether the bits past `channels` are clear in every last word."""
    used = channels % WORD_BITS
    return used == 0 or not np.any(words[..., -1].astype(np.int64) & (0xFFFFFFFF << used))
