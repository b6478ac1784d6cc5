"""`tinyseal torture power`."""

from __future__ import annotations

import time
from typing import Annotated, Final

import typer

from tinyseal.cli.campaign import Columns, conclude_runs, progress
from tinyseal.cli.output import JsonOption
from tinyseal.profiles import board_names, load_board
from tinyseal.torture.power import torture_power

_COLUMNS: Final[Columns] = {
    "board": lambda r: r.board,
    "scenario": lambda r: r.scenario,
    "erase": lambda r: r.erase_bytes,
    "program": lambda r: r.program_bytes,
    "cuts": lambda r: r.count,
    "failures": lambda r: r.failures,
    "seconds": lambda r: r.seconds,
}


def power(
    board: Annotated[
        list[str] | None,
        typer.Option(help="Board, or path of a profile; several times for several. All, if none."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Power cuts to make, in all.")] = 50_000,
    seed: Annotated[int, typer.Option(help="Number of the campaign; same number, same cuts.")] = 1,
    as_json: bool = JsonOption,
) -> None:
    """Cuts the power at every flash operation: before, torn at every byte, within erases, after.

    Example: tinyseal torture power --board my_board.toml --count 1000000
    """
    boards = [load_board(name) for name in board or board_names()]
    boards = boards if board else [b for b in boards if b.flash]
    started = time.monotonic()
    with progress("cutting", count, as_json) as report:
        results = torture_power(boards, count, seed, report)
    conclude_runs("cuts", results, _COLUMNS, time.monotonic() - started, seed, as_json)
