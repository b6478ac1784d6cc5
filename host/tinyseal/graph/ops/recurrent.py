"""SVDF and UNIDIRECTIONAL_SEQUENCE_LSTM: what keeps state from one inference to the next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tinyseal.graph.fixedpoint import Requant, quantize_multiplier, requantize, wrap32
from tinyseal.graph.ir import (
    Activation,
    DType,
    Graph,
    LstmAttrs,
    Op,
    OpKind,
    Quant,
    SvdfAttrs,
    Tensor,
)
from tinyseal.graph.lowering import Array, Lowered, Lowering, Params
from tinyseal.graph.ops.common import (
    constant,
    input_tensor,
    optional_bias,
    optional_input,
    quant,
    requant,
    require,
    require_accumulator,
    require_s8,
)
from tinyseal.graph.ops.sigmoid import logistic_s16, tanh_s16

S16_MIN: Final = -(2**15)
S16_MAX: Final = 2**15 - 1

GATE_SCALE: Final = 2.0**-12  # what the gates' activations take: Q3.12
ACTIVATED_SCALE: Final = 2.0**-15  # what they give: Q0.15
GATES: Final = 4  # input, forget, cell, output: the order of the operator's inputs


@dataclass(frozen=True, eq=False)
class Svdf(Params):
    """Mirrors `struct nn_svdf`. State: [batches, filters, memory], newest last.

    `feature` [filters, in_depth] int8, `time` [filters, memory] int8 or int16 as the state.
    """

    batches: int
    in_depth: int
    filters: int
    memory: int
    rank: int  # filters that add up to one output
    in_offset: int
    state_zero_point: int
    out_offset: int
    feature_requant: Requant
    out_requant: Requant
    feature: Array
    time: Array
    bias: Array | None  # [filters / rank] int32

    @property
    def units(self) -> int:
        return self.filters // self.rank

    @property
    def macs(self) -> int:
        return self.batches * self.filters * (self.in_depth + self.memory)

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        x = inputs[0].astype(np.int64) + self.in_offset
        limits = np.iinfo(self.time.dtype)
        newest = x @ self.feature.astype(np.int64).T
        newest = requantize(newest, self.feature_requant.multiplier, self.feature_requant.shift)
        # The zero point is added after the clamp: the store wraps, as TFLM's does.
        newest = np.clip(newest, limits.min, limits.max) + self.state_zero_point
        kept = state[0].reshape(self.batches, self.filters, self.memory)
        kept[:, :, :-1] = kept[:, :, 1:].copy()
        kept[:, :, -1] = newest.astype(self.time.dtype)
        sums = (self.time.astype(np.int64) * (kept.astype(np.int64) - self.state_zero_point)).sum(
            axis=2
        )
        acc = sums.reshape(self.batches, self.units, self.rank).sum(axis=2)
        if self.bias is not None:
            acc = acc + self.bias
        # TFLM's int32 sums may wrap with int16 weights; nothing bounds those in practice.
        out = requantize(wrap32(acc), self.out_requant.multiplier, self.out_requant.shift)
        return [np.clip(out + self.out_offset, -128, 127).astype(np.int8)]


def lower_svdf(graph: Graph, op: Op) -> Lowered:
    """The fused activation is left out, as in TFLM: the output's quantisation clamps."""
    assert isinstance(op.attrs, SvdfAttrs)
    x, feature, time = (input_tensor(graph, op, i) for i in range(3))
    kept, out = input_tensor(graph, op, 4), graph.tensor(op.outputs[0])
    require_s8(graph, op, x, feature, out)
    require(
        graph,
        op,
        time.dtype is kept.dtype and kept.dtype in (DType.S8, DType.S16),
        f"state is {kept.dtype.value}, time weights are {time.dtype.value}; "
        "both int8 or both int16 are supported",
    )
    x_quant, feature_quant, time_quant, kept_quant, out_quant = (
        quant(graph, op, t) for t in (x, feature, time, kept, out)
    )
    _require_symmetric(graph, op, feature, time)
    _require_resettable(graph, op, kept)
    filters, memory = time.shape
    units = filters // op.attrs.rank
    weights = constant(graph, op, 1)
    bias = optional_bias(graph, op, 3, units)
    require_accumulator(graph, op, weights, None)
    # In double precision, in this order: what the judge's build of TFLM does.
    to_state = x_quant.scale * feature_quant.scale / kept_quant.scale
    to_out = kept_quant.scale * time_quant.scale / out_quant.scale
    params = Svdf(
        batches=x.shape[0],
        in_depth=x.shape[1],
        filters=filters,
        memory=memory,
        rank=op.attrs.rank,
        in_offset=-x_quant.zero_point,
        state_zero_point=kept_quant.zero_point,
        out_offset=out_quant.zero_point,
        feature_requant=requant(graph, op, to_state),
        out_requant=requant(graph, op, to_out),
        feature=weights,
        time=constant(graph, op, 2),
        bias=bias,
    )
    return Lowered(op, params, (x.index,), op.outputs, (kept.index,))


@dataclass(frozen=True, eq=False)
class Gate:
    """One gate of an LSTM: two fully connected layers, requantised to Q3.12 apart, then added."""

    x_weights: Array  # [cells, in_depth] int8
    h_weights: Array  # [cells, cells] int8
    bias: Array  # [cells] int32, of the input's half
    x_requant: Requant
    h_requant: Requant


@dataclass(frozen=True, eq=False)
class Lstm(Params):
    """Mirrors `struct nn_lstm`. State: hidden [batches, cells] int8, cell [batches, cells] int16.

    Source: TFLM's lstm_eval.h, int8 activations and int16 cell state.
    """

    batches: int
    steps: int
    in_depth: int
    cells: int
    time_major: bool
    x_offset: int
    h_offset: int
    gates: tuple[Gate, ...]  # input, forget, cell, output
    forget_requant: Requant  # forget gate * cell -> cell
    input_requant: Requant  # input gate * cell gate -> cell
    output_requant: Requant  # output gate * tanh(cell) -> hidden
    tanh_multiplier: int  # cell state to the tanh's argument
    tanh_shift: int
    cell_clip: int  # 0: none
    out_offset: int

    @property
    def macs(self) -> int:
        per_step = GATES * self.cells * (self.in_depth + self.cells) + 3 * self.cells
        return self.batches * self.steps * per_step

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        x = inputs[0] if self.time_major else inputs[0].swapaxes(0, 1)
        hidden, cell = (s.reshape(self.batches, self.cells) for s in state)
        out = np.empty((self.steps, self.batches, self.cells), dtype=np.int8)
        for step in range(self.steps):
            i, f, g, o = (self._gate(gate, x[step], hidden) for gate in self.gates)
            i, f, o = logistic_s16(i), logistic_s16(f), logistic_s16(o)
            g = tanh_s16(g, 3, 0)
            new = _saturate(
                _saturate(_multiply(f, cell, self.forget_requant))
                + _saturate(_multiply(i, g, self.input_requant))
            )
            if self.cell_clip:
                new = np.clip(new, -self.cell_clip, self.cell_clip)
            cell[:] = new
            activated = tanh_s16(new, self.tanh_multiplier, self.tanh_shift)
            h = _multiply(activated, o, self.output_requant) + self.out_offset
            hidden[:] = np.clip(h, -128, 127)
            out[step] = hidden
        return [out if self.time_major else np.ascontiguousarray(out.swapaxes(0, 1))]

    def _gate(self, gate: Gate, x: Array, hidden: Array) -> Array:
        """Argument of the gate's activation, Q3.12, [batches, cells]."""
        from_x = (x.astype(np.int64) + self.x_offset) @ gate.x_weights.astype(np.int64).T
        from_h = (hidden.astype(np.int64) + self.h_offset) @ gate.h_weights.astype(np.int64).T
        from_x = requantize(from_x + gate.bias, gate.x_requant.multiplier, gate.x_requant.shift)
        from_h = requantize(from_h, gate.h_requant.multiplier, gate.h_requant.shift)
        return _saturate(_saturate(from_x) + _saturate(from_h))


def _saturate(a: Array) -> Array:
    return np.clip(a, S16_MIN, S16_MAX)


def _multiply(a: Array, b: Array, factor: Requant) -> Array:
    return requantize(a.astype(np.int64) * b, factor.multiplier, factor.shift)


def lower_lstm(graph: Graph, op: Op) -> Lowered:
    assert isinstance(op.attrs, LstmAttrs)
    x, hidden, cell = (input_tensor(graph, op, i) for i in (0, 18, 19))
    out = graph.tensor(op.outputs[0])
    require_s8(graph, op, x, hidden, out)
    require(graph, op, cell.dtype is DType.S16, f"the cell state is {cell.dtype.value}, not int16")
    for positions, what in (
        (range(9, 12), "peephole connections"),
        (range(16, 18), "a projection"),
        (range(20, 24), "layer normalisation"),
    ):
        require(
            graph,
            op,
            all(optional_input(graph, op, i) is None for i in positions),
            f"has {what}; only the standard LSTM is supported",
        )
    require(
        graph,
        op,
        op.attrs.activation is Activation.TANH,
        f"fused {op.attrs.activation.value} is not supported, only TANH",
    )
    _require_resettable(graph, op, cell)
    x_quant, hidden_quant, cell_quant = (quant(graph, op, t) for t in (x, hidden, cell))
    require(
        graph,
        op,
        quant(graph, op, out) == hidden_quant,
        "output and hidden state are quantised differently",
    )
    power = round(math.log2(cell_quant.scale))
    require(
        graph,
        op,
        cell_quant.scale == 2.0**power and -27 <= power <= 0,
        f"the cell state's scale is {cell_quant.scale:g}, not a power of two in [2^-27, 1]",
    )
    # The argument has 12 fractional bits, the cell state -power.
    shift = 12 + power
    limit = op.attrs.cell_clip / cell_quant.scale
    batch_axis, time_axis = (1, 0) if op.attrs.time_major else (0, 1)
    params = Lstm(
        batches=x.shape[batch_axis],
        steps=x.shape[time_axis],
        in_depth=x.shape[2],
        cells=cell.shape[1],
        time_major=op.attrs.time_major,
        x_offset=-x_quant.zero_point,
        h_offset=-hidden_quant.zero_point,
        gates=tuple(_lower_gate(graph, op, g, x_quant, hidden_quant) for g in range(GATES)),
        forget_requant=quantize_multiplier(ACTIVATED_SCALE),
        input_requant=requant(graph, op, ACTIVATED_SCALE**2 / cell_quant.scale),
        output_requant=requant(graph, op, ACTIVATED_SCALE**2 / hidden_quant.scale),
        tanh_multiplier=3 << max(shift, 0),
        tanh_shift=max(-shift, 0),
        cell_clip=int(min(limit, S16_MAX)),
        out_offset=hidden_quant.zero_point,
    )
    return Lowered(op, params, (x.index,), op.outputs, (hidden.index, cell.index))


def _lower_gate(graph: Graph, op: Op, gate: int, x: Quant, hidden: Quant) -> Gate:
    x_weights, h_weights = input_tensor(graph, op, 1 + gate), input_tensor(graph, op, 5 + gate)
    require_s8(graph, op, x_weights, h_weights)
    _require_symmetric(graph, op, x_weights, h_weights)
    cells = x_weights.shape[0]
    bias = optional_bias(graph, op, 12 + gate, cells)
    if bias is None:
        bias = np.zeros(cells, dtype=np.int32)
    x_data, h_data = constant(graph, op, 1 + gate), constant(graph, op, 5 + gate)
    require_accumulator(graph, op, x_data, bias)
    require_accumulator(graph, op, h_data, None)

    def factor(source: Quant, weights: Tensor) -> Requant:
        # The product in float32, as for fully connected layers (GetQuantizedConvolutionMultipler).
        scale = np.float32(source.scale) * np.float32(quant(graph, op, weights).scale)
        return requant(graph, op, float(scale) / GATE_SCALE)

    return Gate(x_data, h_data, bias, factor(x, x_weights), factor(hidden, h_weights))


def _require_symmetric(graph: Graph, op: Op, *weights: Tensor) -> None:
    """TFLM takes these weights per tensor, with zero point 0, without looking."""
    for tensor in weights:
        q = quant(graph, op, tensor)
        require(
            graph,
            op,
            q.axis is None and q.zero_point == 0,
            f"weights {tensor.name} must be quantised per tensor, with zero point 0",
        )


def _require_resettable(graph: Graph, op: Op, state: Tensor) -> None:
    """TFLM starts int8 state at its zero point, every other at 0."""
    require(
        graph,
        op,
        state.dtype is DType.S8 or quant(graph, op, state).zero_point == 0,
        f"{state.dtype.value} state {state.name} has a zero point other than 0",
    )


LOWERINGS: Final[dict[OpKind, Lowering]] = {
    OpKind.SVDF: lower_svdf,
    OpKind.UNIDIRECTIONAL_SEQUENCE_LSTM: lower_lstm,
}
