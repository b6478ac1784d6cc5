"""Board + Plan -> what the firmware's own sources need: linker script and configuration headers."""

from __future__ import annotations

from typing import Final

from tinyseal.board import Board, Core, Firmware, Memory
from tinyseal.codegen.generate import per_region
from tinyseal.codegen.templates import render
from tinyseal.errors import BoardError
from tinyseal.graph.ir import DType
from tinyseal.plan.model import Plan

# MLPerf Tiny's name of a model, by the first word of the file's name.
MLPERF_IDS: Final = {"ad": "ad01", "ic": "ic01", "kws": "kws01", "vww": "vww01"}

# RAM the application's own variables take, besides stack, arena and staging buffer.
APP_RAM_BYTES: Final = 1024


def entry(core: Core) -> str:
    """The symbol execution starts at."""
    if core.is_arm:
        return "cortexm_start"
    return {Core.RV32IMC: "riscv_start", Core.LX106: "xtensa_vectors"}[core]


def generate_link_script(board: Board) -> str:
    """`link.ld`: vectors first, then code and constants, then RAM with the stack at its end."""
    firmware_of(board)
    flash = [m for m in board.memory if m.kind == "flash"]
    code = next((m for m in flash if board.flash and m.name == board.flash.memory), None)
    if code is None:
        raise BoardError(f"{board.name}: no [flash] to place code in")
    return render(
        "link.ld",
        board=board,
        entry=entry(board.core),
        vectors=flash[0],
        code=code,
        ram=main_ram(board),
    )


def generate_board_config(board: Board) -> str:
    """`board_config.h`."""
    firmware_of(board)
    return render(
        "board_config.h",
        board=board,
        arena_bytes=per_region(tuple(m.arena_bytes for m in board.arena_regions)),
    )


def generate_model_config(plan: Plan, kernels: str) -> str:
    """`model_config.h`; `kernels` is the kernel set the user asked for."""
    return render(
        "model_config.h",
        graph=plan.graph,
        kernels=kernels,
        mlperf_id=mlperf_id(plan.graph.name),
        staging_bytes=staging_bytes(plan),
        arena_bytes=per_region(plan.arena_bytes),
    )


def mlperf_id(name: str) -> str:
    """What the MLPerf Tiny runner calls a model: `kws01` for kws_int8, else its own name."""
    return MLPERF_IDS.get(name.split("_")[0], name)


def staging_bytes(plan: Plan) -> int:
    """Size of the buffer that keeps inputs over inferences; 0 where RAM has no room for it.

    It holds all inputs together; for MLPerf's anomaly detection, whose runner sends float32, four
    bytes an element.
    """
    board, graph = plan.board, plan.graph
    inputs = [graph.tensor(i) for i in graph.inputs]
    wanted = sum(t.bytes for t in inputs)
    if mlperf_id(graph.name) == MLPERF_IDS["ad"]:
        wanted = sum(t.elements for t in inputs) * DType.F32.bytes
    ram = main_ram(board)
    in_main = ram == board.arena_regions[0]
    taken = firmware_of(board).stack_bytes + APP_RAM_BYTES
    taken += plan.arena_bytes[0] if in_main else 0
    return wanted if taken + wanted <= ram.bytes else 0


def main_ram(board: Board) -> Memory:
    """The RAM that holds data and stack: the first one listed."""
    return next(m for m in board.memory if m.kind == "ram")


def firmware_of(board: Board) -> Firmware:
    """[firmware], which every board but the build machine has."""
    if board.firmware is None:
        raise BoardError(f"{board.name}: has no [firmware]; it runs no firmware")
    return board.firmware
