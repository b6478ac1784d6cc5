"""Board -> what the firmware's own sources need: linker script and configuration header."""

from __future__ import annotations

from tinyseal.board import Board, Core, Firmware, Memory
from tinyseal.codegen.generate import per_region
from tinyseal.codegen.templates import render
from tinyseal.errors import BoardError


def entry(core: Core) -> str:
    """The symbol execution starts at."""
    if core.is_arm:
        return "cortexm_start"
    return {Core.RV32IMC: "riscv_start", Core.LX106: "xtensa_vectors"}[core]


def generate_link_script(board: Board) -> str:
    """`link.ld`: vectors first, then code and constants, then RAM with the stack at its end."""
    firmware_of(board)
    flash = [m for m in board.memory if m.kind == "flash"]
    code = next((m for m in flash if m.name == board.code_memory), None)
    if code is None:
        raise BoardError(f"{board.name}: neither [firmware] nor [flash] names a memory for code")
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
        counters=board.counter_areas() if board.partitions("counter") else {},
        arena_bytes=per_region(tuple(m.arena_bytes for m in board.arena_regions)),
    )


def main_ram(board: Board) -> Memory:
    """The RAM that holds data and stack: the first one listed."""
    return next(m for m in board.memory if m.kind == "ram")


def firmware_of(board: Board) -> Firmware:
    """[firmware], which every board but the build machine has."""
    if board.firmware is None:
        raise BoardError(f"{board.name}: has no [firmware]; it runs no firmware")
    return board.firmware
