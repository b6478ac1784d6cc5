"""The fewest instructions a layer can take with what its core's instruction set offers.

A floor counts what the best inner block known to us executes: loads, products and sums for each
multiply-accumulate; requantisation and the store for each output; widening for each input that is
read. Loop control, addresses, borders and calls come on top, so no kernel reaches it; one that
does better proves the block wrong, and the numbers here are to be corrected. Layers of other kinds
have no floor and count as 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tinyseal.board import Core
from tinyseal.graph.lowering import Params
from tinyseal.graph.ops.arithmetic import Add, Mul
from tinyseal.graph.ops.convolution import Conv2D, DepthwiseConv2D
from tinyseal.graph.ops.fully_connected import FullyConnected
from tinyseal.graph.ops.pooling import Pool
from tinyseal.graph.ops.recurrent import GATES, Lstm, Svdf
from tinyseal.plan.kernels.stream import Stream
from tinyseal.plan.model import Plan

# Dense: weights and inputs are both used again. Vector: one pixel, each weight is used once.
Shape = Literal["dense", "vector", "depthwise", "pool", "add", "mul"]


@dataclass(frozen=True)
class Block:
    """Instructions of an inner block."""

    per_mac: float = 0.0  # pool: per element of a window
    per_output: float = 0.0
    per_input: float = 0.0


_DSP: Final[dict[Shape, Block]] = {
    # 2 channels, 4 pixels, 2 inputs: LDRD of weights as halves, 2 LDRD of inputs, 8 SMLAD for 16
    # products. SMMLAR, SSAT, STRB behind a ReLU. 4 inputs: LDR, 2 SXTB16, STRD.
    "dense": Block(11 / 16, 3.0, 1.0),
    # 4 channels, 4 inputs: LDM of weights, 4 SXTB16, 8 SMLAD and an LDRD of inputs for 16
    # products.
    "vector": Block(14 / 16, 5.0, 1.0),
    # A filter row, 2 outputs: LDRD, SMLAD, SMLATB, SMLABT, SMLAD for 6 products; as above. 4
    # inputs: LDR, 2 SXTB16, 4 STRH into the rows of their channels.
    "depthwise": Block(5 / 6, 3.0, 7 / 4),
    # 4 elements: LDR, 2 SXTAB16. Rounded division by a constant: 4, SSAT, STRB.
    "pool": Block(3 / 4, 6.0),
    # 2 LDR, 4 SXTB16 for 4; SMLABB with the zero points folded, SMMULR and MLA, then as above.
    "add": Block(0.0, 11.0),
    # 2 LDR, 4 SXTAB16 for 4; SMULBB or SMULTT, LSL, ADD, SMMLAR, ASR, SSAT, STRB.
    "mul": Block(0.0, 8.5),
}
_MVE: Final[dict[Shape, Block]] = {
    # 4 channels, 2 pixels, 16 inputs: 6 loads, 8 VMLADAVA for 128 products. For 8 outputs: LDM of
    # where they start, 4 VMOV out of the sums, 2 loads of multipliers and shifts, 2 VQRDMULH,
    # 2 VRSHL, 3 VQMOVN, VQADD, VSTRB.
    "dense": Block(14 / 128, 16 / 8),
    # 8 channels: 8 loads of weights, 1 of inputs, 8 VMLADAVA for 128 products; 2 loads more.
    "vector": Block(17 / 128, 18 / 8),
    # Taps in lanes, 3x3, two outputs one above the other: loads of weights and of words, VSHL,
    # 2 VMLADAVA for 18 products; as above, and where they go. 64 inputs: 4 loads, 4 VST4.
    "depthwise": Block(5 / 18, 17 / 8, 8 / 64),
    "pool": Block(2 / 16, 2 / 16),  # maximum of 16 channels: load, VMAX; VMIN, VSTRB
    # For 8: 4 loads, 2 from the table, 2 VSHL, 2 VADD, 2 VQRDMULH, 2 VRSHL, 3 VQMOVN, VQADD, VSTRB.
    "add": Block(0.0, 19 / 8),
    # For 8: 2 loads, 2 VADD, 2 VMULL, 2 VQRDMULH, 2 VRSHL, 3 VQMOVN, VQADD, VSTRB.
    "mul": Block(0.0, 15 / 8),
}
_MLA: Final[dict[Shape, Block]] = {
    # 2 channels, 6 pixels: 2 LDM, 2 LDRB, 8 MLA for 12 products. 3 sums out of 2 words: LSR, UBFX,
    # SUB lsl, UBFX, LSR, ADD lsl. ADD, LSL, SMULL, ADD, ASR, SSAT, STRB. 3 inputs: 3 LDRSB, 2 ADD
    # lsl, STRD.
    "dense": Block(12 / 12, 6 / 3 + 7.0, 6 / 3),
    "vector": Block(9 / 4, 9.0),  # 4 channels: 5 LDRSB, 4 MLA
    "depthwise": Block(12 / 9, 9.0),  # weights stay in registers; a column of 3 inputs, 9 MLA
    "pool": Block(2.0, 6.0),
    # 2 LDRB, 2 LDR from tables, ADD, LSL, SMULL, 2 ADD, ASR, SSAT, STRB.
    "add": Block(0.0, 12.0),
    # 2 LDRSB, 2 ADD, MUL, LSL, SMULL, 2 ADD, ASR, SSAT, STRB.
    "mul": Block(0.0, 12.0),
}
_RV32: Final[dict[Shape, Block]] = {
    # 4 channels, 6 pixels: 4 LBU, 4 LW, 16 MUL, 16 ADD for 24 products. 3 sums out of 2 words:
    # SRLI, 2 shifts, SLLI, SUB, 2 shifts, SRLI, SLLI, ADD. ADD, SLLI, MULH, ADD, SRA, a compare
    # of 2, SB. 3 inputs: 3 LB, 2 SLLI, 2 ADD, 2 SW.
    "dense": Block(40 / 24, 10 / 3 + 8.0, 9 / 3),
    "vector": Block(25 / 8, 9.0),  # 8 channels: 9 LB, 8 MUL, 8 ADD
    "depthwise": Block(21 / 9, 9.0),  # weights stay in registers; 3 LB, 9 MUL, 9 ADD
    "pool": Block(2.0, 8.0),
    # 2 LBU, 2 SLLI, 2 ADD, 2 LW from tables, ADD, SLLI, MULH, SRAI, 2 ADD, SRAI, a compare of 2,
    # SB.
    "add": Block(0.0, 18.0),
    # 2 LB, 2 ADDI, MUL, SLLI, MULH, SRAI, 2 ADD, SRAI, a compare of 2, SB.
    "mul": Block(0.0, 14.0),
}
_THUMB1: Final[dict[Shape, Block]] = {
    # 2 channels, 3 pixels: LDM, 2 LDRB, a MOV since MULS overwrites a factor, 4 MULS, 4 ADDS for 6
    # products. 3 sums out of 2 words as in RV32. Short end: ADD, CMP, BHI, MOV, MULS, LSRS, MULS, 2
    # ADDS, LSRS, STRB. 3 inputs: 3 LDRSB, 2 LSLS, 2 ADDS, STM.
    "dense": Block(12 / 6, 10 / 3 + 11.0, 8 / 3),
    "vector": Block(13 / 4, 11.0),  # 4 channels: 5 LDRSB, 4 MULS, 4 ADDS
    # A column of 3 LDRSB; its products each overwrite a weight: 9 MOV or LDR, 9 MULS, 9 ADDS.
    "depthwise": Block(30 / 9, 11.0),
    "pool": Block(2.0, 10.0),
    "add": Block(0.0, 33.0),
    "mul": Block(0.0, 30.0),
}
_XTENSA: Final[dict[Shape, Block]] = {
    # 2 channels, 6 pixels: 2 L8UI, 4 L32I, 8 MULL, 8 ADD for 12 products. 3 sums out of 2 words as
    # in RV32. Short end as in Thumb. 3 inputs: 3 L8UI, their signs by 2 shifts, 2 SLLI, 2 ADD, 2
    # S32I.
    "dense": Block(22 / 12, 10 / 3 + 11.0, 15 / 3),
    "vector": Block(15 / 4, 11.0),  # 4 channels: 5 L8UI, 2 shifts, 4 MULL, 4 ADD
    "depthwise": Block(27 / 9, 11.0),  # weights stay in registers; 3 L8UI, 6 shifts, 9 MULL, 9 ADD
    "pool": Block(2.0, 8.0),
    "add": Block(0.0, 33.0),
    "mul": Block(0.0, 30.0),
}
BLOCKS: Final[dict[Core, dict[Shape, Block]]] = {
    Core.M0: _THUMB1,
    Core.M0PLUS: _THUMB1,
    Core.M3: _MLA,
    Core.M4: _DSP,
    Core.M7: _DSP,
    Core.M33: _DSP,
    Core.M55: _MVE,
    Core.RV32IMC: _RV32,
    Core.LX106: _XTENSA,
    Core.LX6: _XTENSA,
}


def shape_of(params: Params) -> Shape | None:
    """Which inner block a layer comes down to; None: one without a floor."""
    match params:
        case Conv2D(groups=1):
            return "dense" if params.batches * params.out_h * params.out_w > 1 else "vector"
        case FullyConnected():
            return "dense" if params.batches > 1 else "vector"
        case DepthwiseConv2D():
            return "depthwise"
        case Pool():
            return "pool"
        case Svdf() | Lstm():
            return "vector"  # the dense layers they are made of; activations come on top
        case Add():
            return "add"
        case Mul():
            return "mul"
        case _:
            return None


def floor(params: Params, core: Core) -> float | None:
    """Instructions that one call takes at least; None where no floor is known."""
    if isinstance(params, Stream):
        return _sum_of_known([floor(item.params, core) for item in params.layers])
    shape = shape_of(params)
    if shape is None or core not in BLOCKS:
        return None
    block = BLOCKS[core][shape]
    products, outputs, inputs = _amounts(params)
    return products * block.per_mac + outputs * block.per_output + inputs * block.per_input


def plan_floor(plan: Plan) -> float | None:
    """Of a whole inference: the sum over the layers that have one."""
    return _sum_of_known([floor(step.lowered.params, plan.board.core) for step in plan.steps])


def _sum_of_known(floors: Sequence[float | None]) -> float | None:
    known = [f for f in floors if f is not None]
    return sum(known) if known else None


def products_per_output(params: Params) -> float | None:
    """How many products share one requantisation; None for a layer without any."""
    products, outputs, _ = _amounts(params) if shape_of(params) else (0, 1, 0)
    return products / outputs if products else None


def _amounts(params: Params) -> tuple[int, int, int]:
    """Products (of a pool: elements of windows), outputs, inputs."""
    match params:
        case FullyConnected():
            outputs = params.batches * params.out_depth
            return params.macs, outputs, params.batches * params.in_depth
        case Conv2D() | DepthwiseConv2D() | Pool():
            outputs = params.batches * params.out_h * params.out_w * params.out_ch
            inputs = params.batches * params.in_h * params.in_w * params.in_ch
            taps = outputs * params.filter_h * params.filter_w
            return taps if isinstance(params, Pool) else params.macs, outputs, inputs
        case Svdf():
            outputs = params.batches * (params.filters + params.units)
            return params.macs, outputs, params.batches * params.in_depth
        case Lstm():
            rounds = params.batches * params.steps
            outputs = rounds * params.cells * (2 * GATES + 3)  # of x, of h; the cell's products
            return params.macs, outputs, rounds * (params.in_depth + params.cells)
        case Add() | Mul():
            return 0, params.walk.elements, 0
        case _:
            raise AssertionError(params)
