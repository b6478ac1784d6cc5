"""Calls of the portable kernels that keep state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from tinyseal.codegen.emission import Emission
from tinyseal.graph.lowering import Array
from tinyseal.graph.ops.recurrent import Lstm, Svdf
from tinyseal.graph.ops.sigmoid import SIGMOID_TABLE


def _folded(weights: Array, offset: int, bias: Array | None = None) -> Array:
    """Every input meets every weight, so its zero point is a constant of each row."""
    sums: Array = offset * weights.astype(np.int64).sum(axis=1) + (0 if bias is None else bias)
    return sums.astype(np.int32)


def emit_svdf(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Svdf)
    e.header("kernels/nn_svdf.h")
    bias = np.zeros(p.units, np.int32) if p.bias is None else p.bias
    op = e.struct(
        "nn_svdf",
        "op",
        batches=p.batches,
        in_depth=p.in_depth,
        memory=p.memory,
        rank=p.rank,
        units=p.units,
        state_zero_point=p.state_zero_point,
        out_offset=p.out_offset,
        feature_multiplier=p.feature_requant.multiplier,
        feature_shift=p.feature_requant.shift,
        out_multiplier=p.out_requant.multiplier,
        out_shift=p.out_requant.shift,
        feature=e.array("feature", p.feature),
        feature_bias=e.array("feature_bias", _folded(p.feature, p.in_offset)),
        time=e.array("time", p.time),
        bias=e.array("bias", bias),
    )
    function = e.step.kernel.function
    e.statement(f"{function}(&{op}, {e.input(0)}, {e.output()}, {e.state(0)});")


def emit_lstm(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Lstm)
    e.header("kernels/nn_lstm.h")
    gates: dict[str, Any] = {}
    for i, gate in enumerate(p.gates):
        values = {
            "x_weights": e.array(f"x_weights_{i}", gate.x_weights),
            "h_weights": e.array(f"h_weights_{i}", gate.h_weights),
            "x_bias": e.array(f"x_bias_{i}", _folded(gate.x_weights, p.x_offset, gate.bias)),
            "h_bias": e.array(f"h_bias_{i}", _folded(gate.h_weights, p.h_offset)),
            "x_multiplier": gate.x_requant.multiplier,
            "x_shift": gate.x_requant.shift,
            "h_multiplier": gate.h_requant.multiplier,
            "h_shift": gate.h_requant.shift,
        }
        gates |= {f"gates[{i}].{name}": value for name, value in values.items()}
    op = e.struct(
        "nn_lstm",
        "op",
        batches=p.batches,
        steps=p.steps,
        in_depth=p.in_depth,
        cells=p.cells,
        **strides(p),
        **gates,
        forget_multiplier=p.forget_requant.multiplier,
        forget_shift=p.forget_requant.shift,
        input_multiplier=p.input_requant.multiplier,
        input_shift=p.input_requant.shift,
        output_multiplier=p.output_requant.multiplier,
        output_shift=p.output_requant.shift,
        tanh_multiplier=p.tanh_multiplier,
        tanh_shift=p.tanh_shift,
        cell_clip=p.cell_clip,
        out_offset=p.out_offset,
        sigmoid=e.shared_array("sigmoid", SIGMOID_TABLE),
    )
    e.statement(f"nn_lstm_s8(&{op}, {e.input(0)}, {e.output()}, {e.state(0)}, {e.state(1)});")


def strides(p: Lstm) -> dict[str, int]:
    """Elements from one batch, one time step, to the next."""
    batch, step = (1, p.batches) if p.time_major else (p.steps, 1)
    return {
        "in_batch_stride": batch * p.in_depth,
        "in_step_stride": step * p.in_depth,
        "out_batch_stride": batch * p.cells,
        "out_step_stride": step * p.cells,
    }


EMITTERS: Final[dict[str, Callable[[Emission], None]]] = {
    "nn_svdf_s8": emit_svdf,
    "nn_svdf_s8_s16": emit_svdf,
    "nn_lstm_s8": emit_lstm,
}
