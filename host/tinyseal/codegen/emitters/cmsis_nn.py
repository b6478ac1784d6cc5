"""Calls of CMSIS-NN, by its public functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from tinyseal.codegen.emission import Emission
from tinyseal.codegen.emitters.reference_dense import window_fields
from tinyseal.graph.lowering import Array
from tinyseal.graph.ops.convolution import Conv2D, Convolution, DepthwiseConv2D
from tinyseal.graph.ops.fully_connected import FullyConnected
from tinyseal.graph.ops.pooling import Pool
from tinyseal.graph.ops.window import Window
from tinyseal.plan.kernels.cmsis_nn import gathered_depth

HEADER: Final = "arm_nnfunctions.h"
# A vector load may begin at the last element: so many bytes after it are read, and not used.
_VECTOR_BYTES: Final = 16
_LANES: Final = 4


def emit_conv_1x1(e: Emission) -> None:
    p = e.step.lowered.params
    if isinstance(p, FullyConnected):
        _emit_fc_product(e, p)
        return
    assert isinstance(p, Conv2D)
    _emit_window(e, p, "conv", ())


def emit_conv(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Conv2D) and e.step.scratch is not None
    depth = gathered_depth(p, e.plan.board)
    rows = p.weights.reshape(p.out_ch, -1)
    weights = np.pad(rows, ((0, 0), (0, depth - rows.shape[1])))
    e.header("cmsis_nn/nn_cmsis_conv.h")
    op = e.struct(
        "nn_cmsis_conv",
        "op",
        **window_fields(p),
        depth=depth,
        columns=e.step.scratch.bytes // depth,
        **_product_params(p),
        **{f"quant.{name}": text for name, text in _quant_fields(e, p.multipliers, p.shifts)},
        weights=_weights(e, weights),
        bias=e.array("bias", p.bias),
    )
    e.statement(f"nn_cmsis_conv_s8(&{op}, {e.input(0)}, {e.output()}, {e.scratch()});")


def emit_depthwise(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, DepthwiseConv2D)
    _emit_window(e, p, "dw_conv", (("ch_mult", str(p.depth_multiplier)),))


def emit_fc(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, FullyConnected)
    e.header(HEADER)
    _constant(
        e,
        "cmsis_nn_fc_params",
        "params",
        f".input_offset = {p.in_offset}, .filter_offset = 0, .output_offset = {p.out_offset}, "
        f".activation = {{ {p.act_min}, {p.act_max} }}",
    )
    _constant(
        e,
        "cmsis_nn_per_tensor_quant_params",
        "quant",
        f"{int(p.multipliers[0])}, {int(p.shifts[0])}",
    )
    _context(e)
    _dims(e, "in_dims", p.batches, 1, 1, p.in_depth)
    _dims(e, "filter_dims", p.in_depth, 1, 1, p.out_depth)
    _dims(e, "bias_dims", 1, 1, 1, p.out_depth)
    _dims(e, "out_dims", p.batches, 1, 1, p.out_depth)
    _call(e, _weights(e, p.weights), e.array("bias", p.bias))


def emit_fc_vectors(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, FullyConnected)
    e.header("cmsis_nn/nn_cmsis_fc.h")
    op = e.struct(
        "nn_cmsis_fc",
        "op",
        batches=p.batches,
        in_depth=p.in_depth,
        out_depth=p.out_depth,
        **_product_params(p),
        multiplier=int(p.multipliers[0]),
        shift=int(p.shifts[0]),
        weights=_weights(e, p.weights),
        bias=e.array("bias", p.bias),
    )
    e.statement(f"nn_cmsis_fc_s8(&{op}, {e.input(0)}, {e.output()});")


def emit_pool(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Pool)
    e.header(HEADER)
    _constant(
        e,
        "cmsis_nn_pool_params",
        "params",
        f".stride = {{ {p.stride_w}, {p.stride_h} }}, .padding = {{ {p.pad_w}, {p.pad_h} }}, "
        f".activation = {{ {p.act_min}, {p.act_max} }}",
    )
    _context(e)
    _window_dims(e, p, 1)
    e.statement(
        f"(void){e.step.kernel.function}(&context, &params, &in_dims, {e.input(0)}, "
        f"&filter_dims, &out_dims, {e.output()});"
    )


def _emit_window(
    e: Emission, p: Convolution, kind: str, extra: tuple[tuple[str, str], ...]
) -> None:
    """A call of one of the convolutions, which all take the same arguments."""
    e.header(HEADER)
    fields = (
        ("input_offset", str(p.in_offset)),
        ("output_offset", str(p.out_offset)),
        *extra,
        ("stride", f"{{ {p.stride_w}, {p.stride_h} }}"),
        ("padding", f"{{ {p.pad_w}, {p.pad_h} }}"),
        ("dilation", f"{{ {p.dilation_w}, {p.dilation_h} }}"),
        ("activation", f"{{ {p.act_min}, {p.act_max} }}"),
    )
    _constant(
        e,
        f"cmsis_nn_{kind}_params",
        "params",
        ", ".join(f".{name} = {text}" for name, text in fields),
    )
    _channel_quant(e, p.multipliers, p.shifts)
    _context(e)
    _window_dims(e, p, p.in_ch if isinstance(p, Conv2D) else p.out_ch)
    _dims(e, "bias_dims", 1, 1, 1, p.out_ch)
    bias = p.bias
    if bias is None and e.step.kernel.function == "arm_depthwise_conv_s8_opt":
        bias = np.zeros(p.out_ch, dtype=np.int32)  # it adds an offset to the pointer, null or not
    _call(e, _weights(e, p.weights), e.array("bias", None if bias is None else _lanes(e, bias)))


def _emit_fc_product(e: Emission, p: FullyConnected) -> None:
    """A dense layer as the product of its batches with its weights: what a 1x1 convolution is."""
    e.header(HEADER)
    _constant(
        e,
        "cmsis_nn_conv_params",
        "params",
        ", ".join(
            f".{name.removeprefix('params.')} = {value}"
            for name, value in _product_params(p).items()
        ),
    )
    _channel_quant(e, p.multipliers, p.shifts)
    _context(e)
    _dims(e, "in_dims", 1, 1, p.batches, p.in_depth)
    _dims(e, "filter_dims", p.out_depth, 1, 1, p.in_depth)
    _dims(e, "bias_dims", 1, 1, 1, p.out_depth)
    _dims(e, "out_dims", 1, 1, p.batches, p.out_depth)
    _call(e, _weights(e, p.weights), e.array("bias", p.bias))


def _product_params(p: Conv2D | FullyConnected) -> dict[str, int]:
    """cmsis_nn_conv_params of a 1x1 convolution of stride 1."""
    return {
        "params.input_offset": p.in_offset,
        "params.output_offset": p.out_offset,
        "params.stride.w": 1,
        "params.stride.h": 1,
        "params.dilation.w": 1,
        "params.dilation.h": 1,
        "params.activation.min": p.act_min,
        "params.activation.max": p.act_max,
    }


def _call(e: Emission, weights: str, bias: str) -> None:
    e.statement(
        f"(void){e.step.kernel.function}(&context, &params, &quant, &in_dims, {e.input(0)}, "
        f"&filter_dims, {weights}, &bias_dims, {bias}, &out_dims, {e.output()});"
    )


def _quant_fields(e: Emission, multipliers: Array, shifts: Array) -> list[tuple[str, str]]:
    # The struct's pointers are not const; CMSIS-NN only reads.
    return [
        ("multiplier", f"(int32_t *){e.array('multipliers', _lanes(e, multipliers))}"),
        ("shift", f"(int32_t *){e.array('shifts', _lanes(e, shifts))}"),
    ]


def _channel_quant(e: Emission, multipliers: Array, shifts: Array) -> None:
    fields = _quant_fields(e, multipliers, shifts)
    _constant(
        e,
        "cmsis_nn_per_channel_quant_params",
        "quant",
        ", ".join(f".{name} = {text}" for name, text in fields),
    )


def _context(e: Emission) -> None:
    # Not constant: the arena's address is an argument.
    buffer = e.step.scratch
    text = f"{e.scratch()}, {buffer.bytes}" if buffer else "0, 0"
    e.statement(f"const cmsis_nn_context context = {{ {text} }};")


def _window_dims(e: Emission, p: Window, filter_ch: int) -> None:
    _dims(e, "in_dims", p.batches, p.in_h, p.in_w, p.in_ch)
    _dims(e, "filter_dims", p.out_ch, p.filter_h, p.filter_w, filter_ch)
    _dims(e, "out_dims", p.batches, p.out_h, p.out_w, p.out_ch)


def _dims(e: Emission, name: str, n: int, h: int, w: int, c: int) -> None:
    _constant(e, "cmsis_nn_dims", name, f"{n}, {h}, {w}, {c}")


def _constant(e: Emission, ctype: str, name: str, fields: str) -> None:
    e.statement(f"static const {ctype} {name} = {{ {fields} }};")


def _weights(e: Emission, weights: Array) -> str:
    flat = weights.ravel()
    spare = _VECTOR_BYTES if e.plan.board.core.has_mve else 0
    return e.array("weights", np.pad(flat, (0, spare)))


def _lanes(e: Emission, values: Array) -> Array:
    """Padded to whole vectors, where those are loaded without a predicate."""
    spare = -len(values) % _LANES if e.plan.board.core.has_mve else 0
    return np.pad(values, (0, spare))


EMITTERS: Final[dict[str, Callable[[Emission], None]]] = {
    "arm_avgpool_s8": emit_pool,
    "arm_convolve_1_x_n_s8": emit_conv_1x1,
    "arm_convolve_1x1_s8": emit_conv_1x1,
    "arm_convolve_1x1_s8_fast": emit_conv_1x1,
    "arm_depthwise_conv_3x3_s8": emit_depthwise,
    "arm_depthwise_conv_s8": emit_depthwise,
    "arm_depthwise_conv_s8_opt": emit_depthwise,
    "arm_fully_connected_s8": emit_fc,
    "arm_max_pool_s8": emit_pool,
    "nn_cmsis_conv_s8": emit_conv,
    "nn_cmsis_fc_s8": emit_fc_vectors,
}
