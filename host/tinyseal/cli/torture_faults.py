"""`tinyseal torture faults`."""

from __future__ import annotations

import dataclasses
import time
from typing import Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from tinyseal.board import load_board
from tinyseal.build.firmware import DEFAULT_MODEL, Request
from tinyseal.build.scons import build
from tinyseal.cli.output import JsonOption, console, errors, print_json
from tinyseal.device.attack import attack, require_attackable


def faults(
    board: Annotated[str, typer.Option(help="A Cortex-M board, or path of a profile.")] = "qemu-m4",
    count: Annotated[
        int,
        typer.Option(
            min=0, help="Faults to inject, about; 0: every one, a loop's in some of its passes."
        ),
    ] = 2_000,
    seed: Annotated[
        int, typer.Option(help="Number of the campaign; same number, same faults.")
    ] = 1,
    kind: Annotated[
        list[str] | None,
        typer.Option(help="Kind of bad image; several times for several. All, if none."),
    ] = None,
    as_json: bool = JsonOption,
) -> None:
    """Glitches the bootloader on its way to a verdict: skipped instructions, cleared registers,
    flipped bits of instructions, pairs of them. No bad image may ever run. `path` counts the
    instructions of the program that refuse that image, `hit` those of them that were glitched.

    Example: tinyseal torture faults --board qemu-m4 --count 0
    """
    request = Request(load_board(board), DEFAULT_MODEL)
    require_attackable(request.board)
    build(request)
    started = time.monotonic()
    with Progress(console=errors, transient=True, disable=as_json) as progress:
        task = progress.add_task("glitching", total=None)
        results = attack(
            request.board,
            request.bootloader,
            count or None,
            seed,
            kind or (),
            lambda done, of: progress.update(task, completed=done, total=min(of, count or of)),
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
        table = Table("bad image", "path", "hit", "faults", "ran", "outcomes", "seconds")
        for r in results:
            outcomes = ", ".join(f"{n} {name}" for name, n in r.outcomes.items())
            numbers = (r.path, r.faulted, r.count, r.failures, outcomes, r.seconds)
            table.add_row(r.image, *map(str, numbers))
        console.print(table)
        console.print(f"{sum(r.count for r in results)} faults in {seconds:.1f} s")
        for r in results:
            for line in r.fallen:
                errors.print(f"{r.image}: {line}", markup=False, soft_wrap=True)
    if failures:
        raise typer.Exit(1)
