"""Recurrent layers of ours for every core: their matrices are dense layers that end in 32 bits.

`struct nn_sums` has one form for each kind of core, which is all that differs between cores. Zero
points are folded into where sums start. What follows the sums is elementwise and portable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tinyseal.board import Board, Core
from tinyseal.graph.fixedpoint import wrap32
from tinyseal.graph.lowering import Array
from tinyseal.graph.ops.recurrent import GATES, Lstm, Svdf
from tinyseal.graph.ops.sigmoid import SIGMOID_TABLE
from tinyseal.plan.kernels.kernel import Kernel, KernelSet
from tinyseal.plan.kernels.scalar import SHAPES
from tinyseal.plan.kernels.scale import Scale, scale

_POWER: Final = 1 << 30  # multiplier of a power of two


@dataclass(frozen=True)
class Form:
    """One of nn_sums.h: how weights are laid out, and what it costs, read off the assembly."""

    function: str
    channels: int
    inputs: int
    widens: int  # bytes of scratch for an input
    block: float  # instructions of a block of channels, besides
    step: float  # those of `inputs` more inputs
    prepare: float  # of an input, once
    end: float  # of an element after the sums, against the M4's

    def padded(self, depth: int) -> int:
        return depth + -depth % self.inputs

    def scratch(self, depth: int) -> int:
        return self.widens * self.padded(depth)

    def instructions(self, channels: int, depth: int) -> float:
        steps = self.padded(depth) // self.inputs
        blocks = -(-channels // self.channels)
        return blocks * (self.block + steps * self.step) + self.prepare * depth + 40


_DSP: Final = Form("nn_sums_dsp", 4, 4, 2, 20, 18, 1.5, 1.0)
_MVE: Final = Form("nn_sums_mve", 8, 16, 1, 8, 19, 0.2, 1.0)
_RV32: Final = Form("nn_sums_scalar", 8, 1, 0, 45, 26, 0, 1.3)
_MLA: Final = Form("nn_sums_scalar", 4, 1, 0, 25, 10.75, 0, 1.0)
_THUMB1: Final = Form("nn_sums_scalar", 4, 1, 0, 40, 20, 0, 2.5)


def form_of(core: Core) -> Form | None:
    """None for a core without kernels of ours."""
    if core.has_mve:
        return _MVE
    if core.has_dsp:
        return _DSP
    if core not in SHAPES:
        return None
    return {Core.RV32IMC: _RV32, Core.M3: _MLA}.get(core, _THUMB1)


@dataclass(frozen=True, eq=False)
class Sums:
    """`struct nn_sums`."""

    depth: int
    channels: int
    weights: Array  # int8
    starts: Array  # int32 [channels]


def sums(form: Form, weights: Array, starts: Array) -> Sums:
    """`weights` [channels, depth], zeros behind the last of either."""
    spare = -len(weights) % form.channels
    depth = weights.shape[1]
    padded = np.pad(weights, ((0, spare), (0, form.padded(depth) - depth)))
    blocks = padded.reshape(-1, form.channels, form.padded(depth) // form.inputs, form.inputs)
    return Sums(
        depth,
        len(padded),
        blocks.transpose(0, 2, 1, 3),
        np.pad(starts, (0, spare)).astype(np.int32),
    )


def folded(weights: Array, offset: int) -> npt.NDArray[np.int64]:
    """What the input's zero point adds to each row's sum."""
    return np.asarray(offset * weights.astype(np.int64).sum(axis=1))


def _largest(weights: Array, starts: npt.NDArray[np.int64]) -> int:
    """Magnitude that no row's sum exceeds."""
    return int((np.abs(starts) + 128 * np.abs(weights.astype(np.int64)).sum(axis=1)).max())


def svdf_scale(p: Svdf) -> Scale | None:
    return scale(p.feature_requant, _largest(p.feature, folded(p.feature, p.in_offset)))


def svdf_bias(p: Svdf) -> Array:
    """int32 [units], the state's zero point folded in; wraps as the sums do."""
    time = p.time.astype(np.int64).sum(axis=1).reshape(p.units, p.rank).sum(axis=1)
    bias = (0 if p.bias is None else p.bias) - p.state_zero_point * time
    return wrap32(bias).astype(np.int32)


@dataclass(frozen=True, eq=False)
class Gates:
    """All gates of an LSTM below each other, and what brings the sums of each to Q3.12."""

    x_weights: Array
    x_starts: npt.NDArray[np.int64]
    h_weights: Array
    h_starts: npt.NDArray[np.int64]
    scales: tuple[tuple[Scale, Scale], ...]  # of x, of h


def gates(p: Lstm) -> Gates | None:
    """None where a gate is outside the ranges of `scale`."""
    x_weights, h_weights = (
        np.concatenate([getattr(gate, name) for gate in p.gates])
        for name in ("x_weights", "h_weights")
    )
    x_starts = folded(x_weights, p.x_offset) + np.concatenate([gate.bias for gate in p.gates])
    h_starts = folded(h_weights, p.h_offset)
    scales = []
    for i, gate in enumerate(p.gates):
        of = slice(i * p.cells, (i + 1) * p.cells)
        by_x = scale(gate.x_requant, _largest(x_weights[of], x_starts[of]))
        by_h = scale(gate.h_requant, _largest(h_weights[of], h_starts[of]))
        if by_x is None or by_h is None:
            return None
        scales.append((by_x, by_h))
    return Gates(x_weights, x_starts, h_weights, h_starts, tuple(scales))


def curve() -> Array:
    """uint32 [511], `curve` of `struct nn_sums_lstm`: the logistic function on both sides of 0."""
    above = SIGMOID_TABLE.astype(np.uint32)
    whole = np.concatenate([65536 - above[:0:-1], above])
    gains = np.append(np.diff(whole.astype(np.int64)), 0).astype(np.uint32)
    return np.asarray(whole << 16 | gains, dtype=np.uint32)


def _svdf(p: Svdf, board: Board) -> bool:
    return form_of(board.core) is not None and svdf_scale(p) is not None


def _svdf_s8(p: Svdf, board: Board) -> bool:
    return p.time.dtype.itemsize == 1 and _svdf(p, board)


def _svdf_s16(p: Svdf, board: Board) -> bool:
    return p.time.dtype.itemsize == 2 and _svdf(p, board)


def _lstm(p: Lstm, board: Board) -> bool:
    """The cell state's scale is a power of two, so that two of three products are shifted."""
    powers = {p.forget_requant.multiplier, p.input_requant.multiplier} == {_POWER}
    shifts = max(p.forget_requant.shift, p.input_requant.shift, p.output_requant.shift) <= -1
    return form_of(board.core) is not None and powers and shifts and gates(p) is not None


def _form(board: Board) -> Form:
    form = form_of(board.core)
    assert form is not None
    return form


def _words(form: Form, channels: int) -> int:
    return channels + -channels % form.channels


def _svdf_scratch(p: Svdf, board: Board) -> int:
    form = _form(board)
    return 4 * _words(form, p.filters) + form.scratch(p.in_depth)


def _lstm_scratch(p: Lstm, board: Board) -> int:
    form = _form(board)
    words = 2 * _words(form, GATES * p.cells)
    return 4 * words + max(form.scratch(p.in_depth), form.scratch(p.cells))


def _svdf_instructions(p: Svdf, board: Board) -> float:
    form = _form(board)
    step = 2.5 if board.core.has_dsp else 5.75
    time = p.filters * (20 * form.end + p.memory * step) + 25 * form.end * p.units
    return p.batches * (form.instructions(p.filters, p.in_depth) + time)


def _lstm_instructions(p: Lstm, board: Board) -> float:
    form, channels = _form(board), GATES * p.cells
    matrices = form.instructions(channels, p.in_depth) + form.instructions(channels, p.cells)
    return p.batches * p.steps * (matrices + 195 * form.end * p.cells + 100)


KERNELS: Final = (
    Kernel(
        KernelSet.TUNED,
        "nn_sums_svdf_s8",
        Svdf,
        instructions=_svdf_instructions,
        supports=_svdf_s8,
        scratch=_svdf_scratch,
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_sums_svdf_s8_s16",
        Svdf,
        instructions=_svdf_instructions,
        supports=_svdf_s16,
        scratch=_svdf_scratch,
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_sums_lstm_s8",
        Lstm,
        instructions=_lstm_instructions,
        supports=_lstm,
        scratch=_lstm_scratch,
    ),
)
