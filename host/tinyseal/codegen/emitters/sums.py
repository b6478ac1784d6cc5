"""Calls of the tuned recurrent kernels: weights in the layout of the core's nn_sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tinyseal.codegen.emission import Emission
from tinyseal.codegen.emitters.reference_recurrent import strides
from tinyseal.codegen.emitters.scalar import require
from tinyseal.codegen.emitters.scale import Fields, scale_fields
from tinyseal.graph.lowering import Array
from tinyseal.graph.ops.recurrent import Lstm, Svdf
from tinyseal.plan.kernels.sums import (
    curve,
    folded,
    form_of,
    gates,
    sums,
    svdf_bias,
    svdf_scale,
)


def emit_svdf(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Svdf)
    e.header("kernels/nn_sums_svdf.h")
    op = e.struct(
        "nn_sums_svdf",
        "op",
        batches=p.batches,
        memory=p.memory,
        rank=p.rank,
        units=p.units,
        state_zero_point=p.state_zero_point,
        out_offset=p.out_offset,
        out_multiplier=p.out_requant.multiplier,
        out_shift=p.out_requant.shift,
        sums=_function(e),
        **_sums(e, "feature", p.feature, folded(p.feature, p.in_offset)),
        **scale_fields("to_state", svdf_scale(p)),
        time=e.array("time", p.time),
        bias=e.array("bias", svdf_bias(p)),
    )
    call = f"{e.input(0)}, {e.output()}, {e.state(0)}, {e.scratch()}"
    e.statement(f"{e.step.kernel.function}(&{op}, {call});")


def emit_lstm(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Lstm)
    e.header("kernels/nn_sums_lstm.h")
    of = gates(p)
    assert of is not None
    scales: Fields = {}
    for i, pair in enumerate(of.scales):
        for j, by in enumerate(pair):
            scales |= scale_fields(f"to_gate[{i}][{j}]", by)
    op = e.struct(
        "nn_sums_lstm",
        "op",
        batches=p.batches,
        steps=p.steps,
        in_depth=p.in_depth,
        cells=p.cells,
        **strides(p),
        sums=_function(e),
        **_sums(e, "x", of.x_weights, of.x_starts),
        **_sums(e, "h", of.h_weights, of.h_starts),
        **scales,
        forget_shift=-p.forget_requant.shift,
        input_shift=-p.input_requant.shift,
        output_multiplier=p.output_requant.multiplier,
        output_shift=-p.output_requant.shift,
        tanh_multiplier=p.tanh_multiplier,
        tanh_shift=p.tanh_shift,
        cell_clip=p.cell_clip,
        out_offset=p.out_offset,
        curve=e.shared_array("curve", curve()),
    )
    call = f"{e.input(0)}, {e.output()}, {e.state(0)}, {e.state(1)}, {e.scratch()}"
    e.statement(f"nn_sums_lstm_s8(&{op}, {call});")


def _function(e: Emission) -> str:
    form = form_of(e.plan.board.core)
    assert form is not None
    e.header(f"kernels/{form.function}.h")
    if form.function == "nn_sums_scalar":
        require(e, "NN_SCALAR_FC_CHANNELS", form.channels)
    return form.function


def _sums(e: Emission, name: str, weights: Array, starts: Array) -> Fields:
    form = form_of(e.plan.board.core)
    assert form is not None
    made = sums(form, weights, starts)
    return {
        f"{name}.depth": made.depth,
        f"{name}.channels": made.channels,
        f"{name}.weights": e.array(f"{name}_weights", made.weights),
        f"{name}.starts": e.array(f"{name}_starts", made.starts),
    }


EMITTERS: Final[dict[str, Callable[[Emission], None]]] = {
    "nn_sums_svdf_s8": emit_svdf,
    "nn_sums_svdf_s8_s16": emit_svdf,
    "nn_sums_lstm_s8": emit_lstm,
}
