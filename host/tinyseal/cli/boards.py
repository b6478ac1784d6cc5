"""`tinyseal boards`: what there is to build for, and one board's memory drawn to scale."""

from __future__ import annotations

from typing import Any

import typer
from rich.table import Column, Table

from tinyseal.board import COUNTERS, HEADER_BYTES, Board
from tinyseal.cli.drawing import Range, ranges_text, ranges_with_gaps, size_text
from tinyseal.cli.output import JsonOption, console, print_json
from tinyseal.errors import BoardError, UsageError
from tinyseal.profiles import board_names, load_board

NameArgument = typer.Argument(None, help="A board's name, or the path of a profile.")
MEMORY_ROWS = 6  # of each memory in the drawing
PARTITION_ROWS = 16


def boards(name: str | None = NameArgument, as_json: bool = JsonOption) -> None:
    """List the boards, or show one with its memory map."""
    if name is None:
        every = [load_board(n) for n in board_names()]
        if as_json:
            print_json([_summary(b) for b in every])
        else:
            console.print(_table(every))
        return
    board = named_board(name)
    if as_json:
        counts = {n: board.counts(n) for n in COUNTERS if board.partitions("counter")}
        facts = {**_summary(board), **board.model_dump(mode="json"), "counts": counts}
        print_json({**facts, "images": _images(board)})
    else:
        _show(board)


def _images(board: Board) -> list[dict[str, Any]]:
    """Every slot of a board that boots images: what to link for, and how imgtool signs for it."""
    from tinyseal.package.mcuboot import Version
    from tinyseal.package.sign import (
        IMAGE_NAMES,
        SLOT_NAMES,
        SignRequest,
        imgtool_options,
        slot_of,
    )

    images = []
    for image in IMAGE_NAMES if board.boot is not None else ():
        for number, slot in enumerate(SLOT_NAMES):
            request = SignRequest(board, image, slot, Version(), 0)
            images.append(
                {
                    "image": image,
                    "slot": slot,
                    "slot_address": slot_of(board, image, slot).address,
                    "payload_address": board.image_address(image, number) + HEADER_BYTES,
                    "payload_bytes": board.payload_bytes(image),
                    "imgtool": imgtool_options(request),
                }
            )
    return images


def named_board(name: str) -> Board:
    """The profile for an argument: a wrong name is a usage error, a wrong file is not."""
    try:
        return load_board(name)
    except BoardError as e:
        if str(e).startswith("no board"):
            raise UsageError(str(e)) from e
        raise


def _runs_on(board: Board) -> str:
    if board.runner:
        return f"virtual ({board.runner.binary})"
    if board.flasher:
        return f"hardware ({board.flasher.binary})"
    return "this machine"


def _summary(board: Board) -> dict[str, Any]:
    return {
        "name": board.name,
        "title": board.title,
        "core": board.core.value,
        "flash_bytes": board.flash_bytes,
        "ram_bytes": board.ram_bytes,
        "clock_hz": board.clock.hz,
        "runs_on": _runs_on(board),
    }


def _table(every: list[Board]) -> Table:
    table = Table(Column("name", no_wrap=True), "title", "core")
    for column in ("flash", "RAM", "clock"):
        table.add_column(column, justify="right")
    table.add_column("runs on")
    for board in every:
        table.add_row(
            board.name,
            board.title,
            board.core.value,
            size_text(board.flash_bytes) if board.flash_bytes else "-",
            size_text(board.ram_bytes),
            f"{board.clock.hz / 1e6:g} MHz",
            _runs_on(board),
        )
    return table


def _show(board: Board) -> None:
    console.print(f"[bold]{board.name}[/]  {board.title}", highlight=False)
    facts = Table.grid(padding=(0, 2))
    has = [key for key, value in board.capabilities.model_dump().items() if value]
    for key, value in (
        ("chip", f"{board.chip}, {board.core.value}, {board.clock.hz / 1e6:g} MHz"),
        ("runs on", _runs_on(board)),
        ("toolchain", f"{board.toolchain.prefix}gcc {' '.join(board.toolchain.cflags)}".strip()),
        ("console", f"{board.console.baud} baud"),
        ("has", ", ".join(has) or "none of fpu, trustzone, otp, rng, unique_id"),
        ("cycles per instruction", f"{board.cost.cycles_per_instruction:g} (estimate)"),
    ):
        facts.add_row(f"[dim]{key}[/]", value)
    if board.flash:
        facts.add_row(
            "[dim]flash geometry[/]",
            f"erase {board.flash.erase_bytes} B, program {board.flash.program_bytes} B, "
            f"{board.flash.endurance_cycles} cycles ({board.flash.memory})",
        )
    if board.partitions("counter"):
        counts = ", ".join(f"{name} {board.counts(name):,}" for name in COUNTERS)
        facts.add_row("[dim]counts until wear-out[/]", counts)
    if board.otp:
        facts.add_row(
            "[dim]anchor of queries[/]",
            f"{board.otp.bits:,} bits of OTP, one burnt every {board.queries_per_bit:,} queries",
        )
    facts.add_row(
        "[dim]power[/]",
        f"{board.power.active_mw:g} mW active, {board.power.sleep_mw:g} asleep"
        if board.power
        else "no model: energy is not told",
    )
    console.print(facts)
    for memory in sorted(board.memory, key=lambda m: m.base):
        arena = f", arena up to {size_text(memory.arena_bytes)}" if memory.arena_bytes else ""
        console.print(f"\n[bold]{memory.name}[/] ({memory.kind}{arena})", highlight=False)
        parts = [Range(memory.name, memory.base, memory.bytes)]
        rows = MEMORY_ROWS
        if board.flash and memory.name == board.flash.memory and board.partition:
            slots = [Range(p.name, memory.base + p.offset, p.bytes) for p in board.partition]
            parts, rows = ranges_with_gaps(slots, memory.base, memory.end), PARTITION_ROWS
        elif memory.arena_bytes:
            arena_part = Range("arena", memory.base, memory.arena_bytes)
            parts = [arena_part]
            if memory.arena_bytes < memory.bytes:
                rest = memory.bytes - memory.arena_bytes
                parts.append(Range("data, stack", memory.base + memory.arena_bytes, rest))
        for line in ranges_text(parts, rows):
            console.print(line)
