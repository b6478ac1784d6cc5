"""The planner's view of one C kernel."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tinyseal.board import Board
from tinyseal.graph.lowering import Params


class KernelSet(enum.Enum):
    REFERENCE = "reference"
    CMSIS_NN = "cmsis-nn"
    TUNED = "tuned"


@dataclass(frozen=True)
class Kernel:
    """One C function that implements one Params type, on the boards and sizes it supports.

    `scratch` is the least working memory in bytes; a kernel that runs faster with more has
    `more_scratch`, which says what it takes when so many bytes are free. `instructions` is the
    estimated number of executed instructions; `in_place` the input positions whose memory the
    output may take (same size, element by element in step). `lag` is for kernels that go through
    input 0 and output 0 in step: if the output starts that many bytes or more below the input,
    they may overlap, for no byte is written that is still to be read; None if there is no such
    distance.
    """

    set: KernelSet
    function: str  # its C name, and the key of its emitter
    params: type[Params]
    instructions: Callable[[Any, Board], float]
    supports: Callable[[Any, Board], bool] = lambda params, board: True
    scratch: Callable[[Any, Board], int] = lambda params, board: 0
    more_scratch: Callable[[Any, Board, int], int] | None = None
    in_place: tuple[int, ...] = ()
    lag: Callable[[Any, Board], int | None] = lambda params, board: None
