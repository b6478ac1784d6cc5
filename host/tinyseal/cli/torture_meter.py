"""`tinyseal torture meter`."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from tinyseal.board import board_names, load_board
from tinyseal.cli.output import JsonOption, console, errors, print_json
from tinyseal.device.meter import torture_meter


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
    with Progress(console=errors, transient=True, disable=as_json) as progress:
        task = progress.add_task("querying", total=count)
        results = torture_meter(
            boards, count, seed, lambda queries: progress.update(task, completed=queries)
        )
    failures = sum(r.failures for r in results)
    if as_json:
        print_json(
            {
                "count": sum(r.count for r in results),
                "cuts": sum(r.cuts for r in results),
                "failures": failures,
                "seconds": round(sum(r.seconds for r in results), 1),
                "seed": seed,
                "runs": [dataclasses.asdict(r) for r in results],
            }
        )
    else:
        table = Table(
            "board",
            "erase",
            "program",
            "queries",
            "cuts",
            "lost",
            "vouchers",
            "failures",
            "seconds",
        )
        for r in results:
            numbers = (r.erase_bytes, r.program_bytes, r.count, r.cuts, r.lost, r.vouchers)
            table.add_row(r.board, *map(str, (*numbers, r.failures, r.seconds)))
        console.print(table)
        console.print(f"{sum(r.count for r in results)} queries, {failures} failures")
        for r in results:
            if r.failures:
                errors.print(f"{r.board}: {r.message}", markup=False, soft_wrap=True)
    if failures:
        raise typer.Exit(1)
