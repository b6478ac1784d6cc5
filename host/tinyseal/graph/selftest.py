"""The self-test that every capsule carries: drawn inputs, and what the outputs must be."""

from __future__ import annotations

import zlib
from typing import Final

import numpy as np

from tinyseal.graph.ir import DType, Graph, Tensor
from tinyseal.graph.lowering import Array
from tinyseal.graph.reference import Interpreter

SEED: Final = 0x7E575EED
_SCALE: Final = 16.0  # of what a real input is drawn from


def test_inputs(graph: Graph, seed: int = SEED) -> list[Array]:
    """Every element from one number of xorshift32: its top byte, as int8; int8 itself, uint8 the
    same bits, bool the lowest bit, real numbers a sixteenth of it, wider integers its value."""
    state = seed
    values = []
    for tensor in (graph.tensor(i) for i in graph.inputs):
        drawn = np.empty(tensor.elements, dtype=np.int8)
        for i in range(tensor.elements):
            state ^= state << 13 & 0xFFFFFFFF
            state ^= state >> 17
            state ^= state << 5 & 0xFFFFFFFF
            drawn[i] = (state >> 24) - (256 if state >> 31 else 0)
        values.append(_as_type(tensor, drawn))
    return values


def expected_crc(graph: Graph) -> int:
    """CRC-32 of the outputs, one after the other, for `test_inputs` and state at its start."""
    crc = 0
    for output in Interpreter(graph).invoke(test_inputs(graph)):
        crc = zlib.crc32(np.ascontiguousarray(output).tobytes(), crc)
    return crc


def _as_type(tensor: Tensor, drawn: Array) -> Array:
    if tensor.dtype is DType.U8:
        drawn = drawn.view(np.uint8)
    elif tensor.dtype is DType.BOOL:
        drawn = drawn & 1
    elif tensor.dtype is DType.F32:
        drawn = drawn / np.float32(_SCALE)
    return drawn.astype(tensor.dtype.value).reshape(tensor.shape)
