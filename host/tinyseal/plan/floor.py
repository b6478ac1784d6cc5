"""The fewest instructions a layer can take with what its core's instruction set offers.

A floor counts what the best inner block known to us executes: loads, products and sums for each
multiply-accumulate; requantisation and the store for each output; widening for each input that is
read. Loop control, addresses, borders and calls come on top, so no kernel reaches it; one that
does better proves the block wrong, and the numbers here are to be corrected. Layers of other kinds
have no floor and count as 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from tinyseal.board import Core
from tinyseal.graph.lowering import Params
from tinyseal.graph.ops.arithmetic import Add
from tinyseal.graph.ops.convolution import Conv2D, DepthwiseConv2D
from tinyseal.graph.ops.fully_connected import FullyConnected
from tinyseal.graph.ops.pooling import Pool
from tinyseal.plan.model import Plan

# Dense: weights and inputs are both used again. Vector: one pixel, each weight is used once.
Shape = Literal["dense", "vector", "depthwise", "pool", "add"]


@dataclass(frozen=True)
class Block:
    """Instructions of an inner block."""

    per_mac: float = 0.0  # pool: per element of a window
    per_output: float = 0.0
    per_input: float = 0.0


_DSP: Final[dict[Shape, Block]] = {
    # 2 channels, 4 pixels, 2 inputs: LDR of weights, 2 SXTB16, 2 LDRD of inputs, 8 SMLAD for 16
    # products. LSL, SMMULR, ADD asr, ADD, ASR, SSAT, STRB. 4 inputs: LDR, 2 SXTB16, STRD.
    "dense": Block(13 / 16, 7.0, 1.0),
    # 4 channels, 4 inputs: 4 LDR, 8 SXTB16, 8 SMLAD and an LDRD of inputs for 16 products.
    "vector": Block(21 / 16, 7.0, 1.0),
    # A filter row, 2 outputs: LDRD, SMLAD, SMLATB, SMLABT, SMLAD for 6 products; the sum comes
    # doubled. 4 inputs: LDR, 2 SXTB16, 4 STRH into the rows of their channels.
    "depthwise": Block(5 / 6, 6.0, 7 / 4),
    # 4 elements: LDR, 2 SXTAB16. Rounded division by a constant: 4, SSAT, STRB.
    "pool": Block(3 / 4, 6.0),
    # 2 LDR, 4 SXTB16 for 4; SMLABB with the zero points folded, SMMULR and MLA, then as above.
    "add": Block(0.0, 11.0),
}
_MVE: Final[dict[Shape, Block]] = {
    # 2 channels, 2 pixels, 16 inputs: 4 loads, 4 VMLADAVA for 64 products. For 4 outputs: 2 VMOV
    # out of the sums, VQRDMULH, VSHR, VADD, VRSHL, VADD, VMAX, VMIN, VSTRB.
    "dense": Block(8 / 64, 10 / 4),
    # 4 channels: 4 loads of weights, 1 of inputs, 4 VMLADAVA for 64 products.
    "vector": Block(9 / 64, 10 / 4),
    # Channels in lanes, 8 wide: 2 widening loads and a product of 16 bits, summed in two halves.
    "depthwise": Block(4 / 8, 10 / 4),
    "pool": Block(2 / 8, 8 / 4),
    "add": Block(0.0, 14 / 4),
}
_MLA: Final[dict[Shape, Block]] = {
    # 2 channels, 4 pixels: 6 LDRSB, 8 MLA. LSL, SMULL and 2 of its rounding, ADD asr, ADD, ASR,
    # SSAT, STRB.
    "dense": Block(14 / 8, 9.0),
    "vector": Block(9 / 4, 9.0),  # 4 channels: 5 LDRSB, 4 MLA
    "depthwise": Block(12 / 9, 9.0),  # weights stay in registers; a column of 3 inputs, 9 MLA
    "pool": Block(2.0, 6.0),
    "add": Block(0.0, 20.0),
}
_RV32: Final[dict[Shape, Block]] = {
    # 4 channels, 3 pixels: 7 LB, 12 MUL, 12 ADD. SLLI, MULH, MUL, SRLI, ADD, SRAI, ADD, ADD, SRA,
    # a compare and branch, SB.
    "dense": Block(31 / 12, 12.0),
    "vector": Block(13 / 4, 12.0),  # 4 channels: 5 LB, 4 MUL, 4 ADD
    "depthwise": Block(21 / 9, 12.0),  # weights stay in registers; 3 LB, 9 MUL, 9 ADD
    "pool": Block(2.0, 8.0),
    "add": Block(0.0, 30.0),
}
_THUMB1: Final[dict[Shape, Block]] = {
    # 2 channels, 2 pixels: 4 LDRSB, 2 copies, 4 MULS, 4 ADDS; eight registers hold no more. The
    # high half of a product of 32 bits takes about 17.
    "dense": Block(14 / 4, 26.0),
    "vector": Block(8 / 2, 26.0),  # 2 channels: 3 LDRSB, a copy, 2 MULS, 2 ADDS
    "depthwise": Block(4.0, 26.0),
    "pool": Block(2.0, 10.0),
    "add": Block(0.0, 60.0),
}
_XTENSA: Final[dict[Shape, Block]] = {
    # 4 channels, 2 pixels: 6 L8UI (128 more, taken back in the start), 8 MULL, 8 ADD. The high
    # half of a product of 32 bits takes about 17.
    "dense": Block(22 / 8, 26.0),
    "vector": Block(13 / 4, 26.0),
    "depthwise": Block(24 / 9, 26.0),
    "pool": Block(2.0, 8.0),
    "add": Block(0.0, 60.0),
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
        case Add():
            return "add"
        case _:
            return None


def floor(params: Params, core: Core) -> float | None:
    """Instructions that one call takes at least; None where no floor is known."""
    shape = shape_of(params)
    if shape is None or core not in BLOCKS:
        return None
    block = BLOCKS[core][shape]
    products, outputs, inputs = _amounts(params)
    return products * block.per_mac + outputs * block.per_output + inputs * block.per_input


def plan_floor(plan: Plan) -> float | None:
    """Of a whole inference: the sum over the layers that have one."""
    floors = [floor(step.lowered.params, plan.board.core) for step in plan.steps]
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
        case Add():
            return 0, params.walk.elements, 0
        case _:
            raise AssertionError(params)
