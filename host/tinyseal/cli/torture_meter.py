"""`tinyseal torture meter`."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from tinyseal.cli.campaign import Columns, conclude_runs, progress
from tinyseal.cli.output import JsonOption
from tinyseal.profiles import board_names, load_board
from tinyseal.torture.meter import torture_meter

_COLUMNS: Final[Columns] = {
    "board": lambda r: r.board,
    "erase": lambda r: r.erase_bytes,
    "program": lambda r: r.program_bytes,
    "queries": lambda r: r.count,
    "cuts": lambda r: r.cuts,
    "lost": lambda r: r.lost,
    "vouchers": lambda r: r.vouchers,
    "failures": lambda r: r.failures,
    "seconds": lambda r: r.seconds,
}


def meter(
    board: Annotated[
        list[str] | None,
        typer.Option(help="Board, or path of a profile; several times for several. All, if none."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Queries to ask for, in all.")] = 20_000,
    seed: Annotated[int, typer.Option(help="Number of the campaign; same number, same cuts.")] = 1,
    as_json: bool = JsonOption,
) -> None:
    """Prepaid queries with the power cut anywhere: vouchers count once, what is served is spent,
    a cut costs at most the query being paid.

    Example: tinyseal torture meter --count 1000000 --json
    """
    boards = [load_board(name) for name in board or board_names()]
    boards = boards if board else [b for b in boards if b.flash]
    with progress("querying", count, as_json) as report:
        results = torture_meter(boards, count, seed, report)
    seconds, cuts = sum(r.seconds for r in results), sum(r.cuts for r in results)
    conclude_runs("queries", results, _COLUMNS, seconds, seed, as_json, cuts=cuts)
