"""Portable kernels that take one element, or one of each operand, at a time."""

from __future__ import annotations

from typing import Any, Final

from tinyseal.board import Board
from tinyseal.graph.ir import DType
from tinyseal.graph.lowering import Params
from tinyseal.graph.ops.arithmetic import Add, MinMax, Mul, Prelu
from tinyseal.graph.ops.quantize import Dequantize, QuantizeFloat, Requantize
from tinyseal.graph.ops.unary import Lut
from tinyseal.graph.walk import Walk
from tinyseal.plan.kernels.kernel import Kernel, KernelSet

ROW_INSTRUCTIONS: Final = 40.0  # nn_walk_next and the set-up of a row


def walk_instructions(walk: Walk, per_element: float) -> float:
    return per_element * walk.elements + ROW_INSTRUCTIONS * walk.elements / walk.dims[-1]


def _add(subtract: bool, dense: bool, function: str) -> Kernel:
    def supports(params: Add, board: Board) -> bool:
        return params.subtract is subtract and params.walk.is_dense is dense

    def instructions(params: Add, board: Board) -> float:
        if dense:
            return 27.0 * params.walk.elements
        return walk_instructions(params.walk, 44.0)

    return Kernel(
        KernelSet.REFERENCE,
        function,
        Add,
        instructions=instructions,
        supports=supports,
        in_place=(0, 1),
    )


def _minmax(maximum: bool, function: str) -> Kernel:
    return Kernel(
        KernelSet.REFERENCE,
        function,
        MinMax,
        instructions=lambda params, board: walk_instructions(params.walk, 10.0),
        supports=lambda params, board: params.maximum is maximum,
        in_place=(0, 1),
    )


def _requantize(in_dtype: DType, out_dtype: DType, function: str) -> Kernel:
    return Kernel(
        KernelSet.REFERENCE,
        function,
        Requantize,
        instructions=lambda params, board: 25.0 * params.elements,
        supports=lambda params, board: (params.in_dtype, params.out_dtype) == (in_dtype, out_dtype),
    )


def _per_element(
    function: str, params: type[Params], cost: float, in_place: bool = False
) -> Kernel:
    def instructions(params: Any, board: Board) -> float:
        return cost * float(params.elements)

    return Kernel(
        KernelSet.REFERENCE,
        function,
        params,
        instructions=instructions,
        in_place=(0,) if in_place else (),
    )


KERNELS: Final = (
    _add(False, True, "nn_add_s8"),
    _add(True, True, "nn_add_subtract_s8"),
    _add(False, False, "nn_add_broadcast_s8"),
    _add(True, False, "nn_add_subtract_broadcast_s8"),
    Kernel(
        KernelSet.REFERENCE,
        "nn_mul_s8",
        Mul,
        instructions=lambda params, board: walk_instructions(params.walk, 36.0),
        in_place=(0, 1),
    ),
    _minmax(False, "nn_minmax_min_s8"),
    _minmax(True, "nn_minmax_max_s8"),
    Kernel(
        KernelSet.REFERENCE,
        "nn_prelu_s8",
        Prelu,
        instructions=lambda params, board: walk_instructions(params.walk, 36.0),
        in_place=(0, 1),
    ),
    _per_element("nn_lut_s8", Lut, 5.0, in_place=True),
    _requantize(DType.S8, DType.S16, "nn_quantize_s8_s16"),
    _requantize(DType.S8, DType.S32, "nn_quantize_s8_s32"),
    _requantize(DType.S16, DType.S8, "nn_quantize_s16_s8"),
    _per_element("nn_quantize_f32_s8", QuantizeFloat, 40.0),
    _per_element("nn_quantize_s8_f32", Dequantize, 10.0),
)
