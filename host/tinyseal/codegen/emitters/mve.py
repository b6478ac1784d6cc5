"""Calls of the tuned kernels for vectors: instances made for a layer's sizes, shared by layers
of the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tinyseal.codegen.emission import Emission
from tinyseal.codegen.emitters.reference_binary import emit_binary_conv
from tinyseal.codegen.emitters.reference_dense import window_fields
from tinyseal.codegen.emitters.walk import emit_walk
from tinyseal.graph.ops.arithmetic import Add, Mul
from tinyseal.graph.ops.binary import BinaryConv
from tinyseal.graph.ops.convolution import Conv2D, DepthwiseConv2D
from tinyseal.graph.ops.fully_connected import FullyConnected
from tinyseal.graph.ops.pooling import Pool
from tinyseal.graph.walk import Walk
from tinyseal.plan.kernels import mve
from tinyseal.plan.kernels.dense import Dense, pixels

_PRODUCT_PARAMETERS: Final = (
    "const struct nn_mve_product *op, const int8_t *in, int32_t in_step, int32_t gap, "
    "int8_t *out, int32_t pixels"
)

_DEPTHWISE_PARAMETERS: Final = (
    "const struct nn_mve_depthwise *op, const int8_t *words, int8_t *out, int32_t pairs"
)
_ADD_PARAMETERS: Final = (
    "const struct nn_mve_add *op, const int8_t *looked_up, const int8_t *shifted, int8_t *out"
)
_MUL_PARAMETERS: Final = (
    "const struct nn_mve_mul *op, const struct nn_walk *walk, const int8_t *a, const int8_t *b, "
    "int8_t *out"
)
_FC_PARAMETERS: Final = "const struct nn_mve_fc *op, const int8_t *in, int8_t *out, int8_t *scratch"


def emit_product(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Dense)
    e.header("kernels/nn_mve_product.h")
    op = e.struct("nn_mve_product", "op", **_product_fields(e, p))
    depth = p.in_ch if isinstance(p, Conv2D) else p.in_depth
    e.statement(f"{_product(e, p)}(&{op}, {e.input(0)}, {depth}, 0, {e.output()}, {pixels(p)});")


def emit_conv(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Conv2D)
    e.header("kernels/nn_mve_conv.h")
    run = p.filter_w * p.in_ch
    op = e.struct(
        "nn_mve_conv",
        "op",
        **window_fields(p),
        **{f"product.{name}": value for name, value in _product_fields(e, p).items()},
        column=mve.column_bytes(p),
        row=mve.shape(p).row_bytes if mve.is_direct(p) else run,
        zero=-p.in_offset,
        is_direct=int(mve.is_direct(p)),
    )
    e.statement(
        f"nn_mve_conv_s8(&{op}, {_product(e, p)}, {e.input(0)}, {e.output()}, {e.scratch()});"
    )


def emit_depthwise(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, DepthwiseConv2D)
    e.header("kernels/nn_mve_depthwise.h")
    op = e.struct(
        "nn_mve_depthwise",
        "op",
        **window_fields(p),
        columns=mve.columns(p),
        apart=mve.words_apart(p),
        is_tall=int(mve.is_tall(p)),
        taps=e.array("taps", mve.taps(p)),
        stream=e.array("stream", mve.depthwise_stream(p)),
        zero=-p.in_offset,
        out_zero=p.out_offset,
        act_min=p.act_min,
        act_max=p.act_max,
    )
    sizes = (mve.steps(p), int(mve.is_tall(p)), int(mve.flags(p)))
    pairs = e.shared_function(
        "depthwise_" + "_".join(map(str, sizes)),
        _DEPTHWISE_PARAMETERS,
        f"nn_mve_depthwise_pairs(op, words, out, pairs, {', '.join(map(str, sizes))});",
    )
    e.statement(f"nn_mve_depthwise_s8(&{op}, {pairs}, {e.input(0)}, {e.output()}, {e.scratch()});")


def emit_fc(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, FullyConnected)
    e.header("kernels/nn_mve_fc.h")
    loops, steps = mve.fc_loops(p)
    op = e.struct(
        "nn_mve_fc",
        "op",
        stream=e.array("stream", mve.fc_stream(p)),
        batches=p.batches,
        in_depth=p.in_depth,
        out_depth=p.out_depth,
        loops=loops,
        out_zero=p.out_offset,
        act_min=p.act_min,
        act_max=p.act_max,
    )
    sizes = (steps, int(mve.fc_is_long(p)), int(mve.flags(p, mve.SUMS)))
    function = e.shared_function(
        "fc_" + "_".join(map(str, sizes)),
        _FC_PARAMETERS,
        f"nn_mve_fc_s8(op, in, out, scratch, {', '.join(map(str, sizes))});",
    )
    scratch = e.scratch() if e.step.scratch else "0"
    e.statement(f"{function}(&{op}, {e.input(0)}, {e.output()}, {scratch});")


def emit_add(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Add)
    e.header("kernels/nn_mve_add.h")
    op = e.struct(
        "nn_mve_add",
        "op",
        table=e.array("table", mve.add_table(p)),
        count=p.walk.elements,
        multiplier=p.out_requant.multiplier,
        shift=p.out_requant.shift,
        out_zero=p.out_offset,
        act_min=p.act_min,
        act_max=p.act_max,
    )
    flags = int(mve.pair_flags(p))
    function = e.shared_function(
        f"add_{flags}", _ADD_PARAMETERS, f"nn_mve_add_s8(op, looked_up, shifted, out, {flags});"
    )
    table = mve.looked_up(p)
    e.statement(f"{function}(&{op}, {e.input(table)}, {e.input(1 - table)}, {e.output()});")


def emit_mul(e: Emission) -> None:
    """The operand that repeats within a row, if one does, goes second."""
    p = e.step.lowered.params
    assert isinstance(p, Mul)
    e.header("kernels/nn_mve_mul.h")
    order = (1, 0) if mve.row_steps(p)[0] == 0 else (0, 1)
    offsets, strides = (p.a_offset, p.b_offset), (p.walk.a_strides, p.walk.b_strides)
    a, b = order
    op = e.struct(
        "nn_mve_mul",
        "op",
        a_offset=offsets[a],
        b_offset=offsets[b],
        multiplier=p.requant.multiplier,
        shift=p.requant.shift,
        out_zero=p.out_offset,
        act_min=p.act_min,
        act_max=p.act_max,
    )
    walk = emit_walk(e, Walk(p.walk.dims, strides[a], strides[b]))
    flags = int(mve.mul_flags(p))
    function = e.shared_function(
        f"mul_{flags}", _MUL_PARAMETERS, f"nn_mve_mul_s8(op, walk, a, b, out, {flags});"
    )
    e.statement(f"{function}(&{op}, &{walk}, {e.input(a)}, {e.input(b)}, {e.output()});")


def emit_bin_conv(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, BinaryConv)
    e.header("kernels/nn_mve_bin.h")
    emit_binary_conv(e, p, mve.bin_weights(p), "nn_mve_bin_multiply", mve.bin_sums(p))


def emit_pool(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Pool)
    e.header("kernels/nn_mve_pool.h")
    op = e.struct("nn_mve_pool", "op", **window_fields(p), act_min=p.act_min, act_max=p.act_max)
    e.statement(f"{e.step.kernel.function}(&{op}, {e.input(0)}, {e.output()});")


def _product_fields(e: Emission, p: Dense) -> dict[str, int | str]:
    return {
        "stream": e.array("stream", mve.stream(p)),
        "ends": e.array("ends", mve.ends(p)),
        "out_ch": len(p.multipliers),
        "act_min": p.act_min,
        "act_max": p.act_max,
    }


def _product(e: Emission, p: Dense) -> str:
    """The instance of nn_mve_product_s8 for p."""
    made, flags = mve.shape(p), int(mve.flags(p))
    sizes = (made.rows, made.steps, made.tail, flags)
    return e.shared_function(
        "product_" + "_".join(map(str, sizes)),
        _PRODUCT_PARAMETERS,
        f"nn_mve_product_s8(op, in, in_step, gap, out, pixels, {', '.join(map(str, sizes))});",
    )


EMITTERS: Final[dict[str, Callable[[Emission], None]]] = {
    "nn_mve_add_s8": emit_add,
    "nn_mve_bin_conv": emit_bin_conv,
    "nn_mve_conv_s8": emit_conv,
    "nn_mve_depthwise_s8": emit_depthwise,
    "nn_mve_fc_s8": emit_fc,
    "nn_mve_mul_s8": emit_mul,
    "nn_mve_pool_average_s8": emit_pool,
    "nn_mve_pool_max_s8": emit_pool,
    "nn_mve_product_s8": emit_product,
}
