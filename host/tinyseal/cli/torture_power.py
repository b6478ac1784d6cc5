"""`tinyseal torture power`."""

from __future__ import annotations

import dataclasses
import time
from typing import Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from tinyseal.board import board_names, load_board
from tinyseal.cli.output import JsonOption, console, errors, print_json
from tinyseal.device.power import torture_power


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
    with Progress(console=errors, transient=True, disable=as_json) as progress:
        task = progress.add_task("cutting", total=count)
        results = torture_power(
            boards, count, seed, lambda cuts: progress.update(task, completed=cuts)
        )
    seconds = time.monotonic() - started
    failures = sum(r.failures for r in results)
    if as_json:
        print_json(
            {
                "count": sum(r.count for r in results),
                "failures": failures,
                "seconds": round(seconds, 1),
                "seed": seed,
                "runs": [dataclasses.asdict(r) for r in results],
            }
        )
    else:
        table = Table("board", "scenario", "erase", "program", "cuts", "failures", "seconds")
        for r in results:
            table.add_row(
                r.board,
                r.scenario,
                *map(str, (r.erase_bytes, r.program_bytes, r.count, r.failures, r.seconds)),
            )
        console.print(table)
        console.print(f"{sum(r.count for r in results)} cuts, {failures} failures, {seconds:.1f} s")
        for r in results:
            if r.failures:
                errors.print(f"{r.board}: {r.message}", markup=False, soft_wrap=True)
    if failures:
        raise typer.Exit(1)
