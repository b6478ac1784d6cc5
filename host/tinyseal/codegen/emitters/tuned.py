"""Calls of the tuned kernels: weights shuffled and zero points folded on the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Final

from tinyseal.codegen.emission import Emission
from tinyseal.codegen.emitters import dense
from tinyseal.codegen.emitters.reference_dense import window_fields
from tinyseal.graph.ops.arithmetic import Add
from tinyseal.graph.ops.convolution import DepthwiseConv2D
from tinyseal.graph.ops.fully_connected import FullyConnected
from tinyseal.graph.ops.pooling import Pool
from tinyseal.plan.kernels.tuned import (
    Axis,
    Lines,
    add_rounding,
    add_table,
    depth,
    depthwise_quads,
    depthwise_words,
    fc_arrays,
    group_lines,
    plane_lines,
    product_pairs,
    row_lines,
)

_FAMILY: Final = "nn_tuned"


def emit_conv(e: Emission) -> None:
    dense.emit_conv(e, _FAMILY, _product_fields(e, wide=False))


def emit_conv_wide(e: Emission) -> None:
    dense.emit_conv(e, _FAMILY, _product_fields(e, wide=True))


def emit_conv_1x1(e: Emission) -> None:
    dense.emit_conv_1x1(e, _FAMILY, _product_fields(e, wide=False))


def emit_conv_1x1_wide(e: Emission) -> None:
    dense.emit_conv_1x1(e, _FAMILY, _product_fields(e, wide=True))


def emit_fc(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, FullyConnected)
    dense.emit_fc(e, _FAMILY, *fc_arrays(p))


def emit_depthwise(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, DepthwiseConv2D)
    _depthwise(e, p, row_lines(p))


def emit_depthwise_groups(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, DepthwiseConv2D)
    _depthwise(e, p, group_lines(p))


def emit_depthwise_planes(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, DepthwiseConv2D)
    _depthwise(e, p, plane_lines(p))


def emit_depthwise_any(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, DepthwiseConv2D)
    e.header("kernels/nn_tuned_depthwise_any.h")
    is_linear, quads = depthwise_quads(p)
    op = e.struct(
        "nn_tuned_depthwise_any",
        "op",
        **window_fields(p),
        zero=-p.in_offset,
        **dense.range_fields(p),
        is_linear=int(is_linear),
        quads=e.array("quads", quads),
    )
    e.statement(f"nn_tuned_depthwise_any_s8(&{op}, {e.input(0)}, {e.output()}, {e.scratch()});")


def _depthwise(e: Emission, p: DepthwiseConv2D, lines: Lines) -> None:
    e.header("kernels/nn_tuned_depthwise.h")
    is_linear, words = depthwise_words(p, lines.rows)
    op = e.struct(
        "nn_tuned_depthwise",
        "op",
        batches=p.batches,
        channels=p.out_ch,
        **{"pass": lines.channels},
        slots=lines.slots,
        **_axis_fields("along", lines.along),
        **_axis_fields("across", lines.across),
        line_words=lines.words,
        line_pairs=lines.inputs[0],
        line_is_odd=lines.inputs[1],
        zero=-p.in_offset,
        **dense.range_fields(p),
        is_linear=int(is_linear),
        words=e.array("words", words),
    )
    e.statement(f"nn_tuned_depthwise_s8(&{op}, {e.input(0)}, {e.output()}, {e.scratch()});")


def _axis_fields(name: str, axis: Axis) -> dict[str, int]:
    return {f"{name}.{field.rstrip('_')}": value for field, value in asdict(axis).items()}


def emit_add(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Add)
    position, table = add_table(p)
    e.header("kernels/nn_tuned_add.h")
    op = e.struct(
        "nn_tuned_add",
        "op",
        count=p.walk.elements,
        multiplier=p.out_requant.multiplier,
        rounding=add_rounding(p),
        shift=-p.out_requant.shift,
        act_min=p.act_min,
        act_max=p.act_max,
        is_rectified=int(p.out_offset == -128),
        table=e.array("table", table),
    )
    operands = f"{e.input(1 - position)}, {e.input(position)}"
    e.statement(f"nn_tuned_add_s8(&{op}, {operands}, {e.output()});")


def emit_pool(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Pool)
    e.header("kernels/nn_tuned_pool.h")
    op = e.struct("nn_pool", "op", **window_fields(p), act_min=p.act_min, act_max=p.act_max)
    e.statement(f"{e.step.kernel.function}(&{op}, {e.input(0)}, {e.output()});")


def _product_fields(e: Emission, *, wide: bool) -> dict[str, int | str]:
    p = dense.dense_params(e)
    is_linear, pairs = product_pairs(p, wide)
    return {
        "depth": depth(p),
        "out_ch": len(p.weights),
        "is_linear": int(is_linear),
        "is_wide": int(wide),
        "pairs": e.array("pairs", pairs),
    }


EMITTERS: Final[dict[str, Callable[[Emission], None]]] = {
    "nn_tuned_add_s8": emit_add,
    "nn_tuned_pool_average_s8": emit_pool,
    "nn_tuned_pool_max_s8": emit_pool,
    "nn_tuned_conv_s8": emit_conv,
    "nn_tuned_conv_wide_s8": emit_conv_wide,
    "nn_tuned_conv_1x1_s8": emit_conv_1x1,
    "nn_tuned_conv_1x1_wide_s8": emit_conv_1x1_wide,
    "nn_tuned_depthwise_any_s8": emit_depthwise_any,
    "nn_tuned_depthwise_s8": emit_depthwise,
    "nn_tuned_depthwise_groups_s8": emit_depthwise_groups,
    "nn_tuned_depthwise_planes_s8": emit_depthwise_planes,
    "nn_tuned_fc_s8": emit_fc,
}
