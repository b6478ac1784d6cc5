"""`tinyseal torture link`."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.progress import Progress, TaskID
from rich.table import Table

from tinyseal.build.firmware import Request
from tinyseal.build.scons import build
from tinyseal.cli.boards import named_board
from tinyseal.cli.output import JsonOption, console, errors, print_json
from tinyseal.codegen.firmware import ImageName

SMALL_MODEL: Final = Path("tests/corpus/chain.tflite")  # fits every board


def link(
    board: Annotated[
        list[str] | None,
        typer.Option(help="Virtual board; several times for several. `host` if none."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Updates of each board.")] = 100,
    seed: Annotated[
        int, typer.Option(help="Number of the campaign: same number, same faults.")
    ] = 1,
    app: Annotated[
        bool, typer.Option("--app", help="Update the application, too: ten times the frames.")
    ] = False,
    as_json: bool = JsonOption,
) -> None:
    """Updates boards over lines that lose, spoil, double, reorder and stall up to a tenth of the
    frames each, or are cut at one; each update ends right or is reported as failed, and the board
    still takes the next.

    Example: tinyseal torture link --board host --board qemu-m4 --count 400
    """
    from tinyseal.device.link_torture import torture_link

    images: list[ImageName] = ["app", "capsule"] if app else ["capsule"]
    requests = [Request(named_board(name), SMALL_MODEL) for name in board or ["host"]]
    results = []
    for request in requests:
        build(request)
        with Progress(console=errors, transient=True, disable=as_json) as progress:
            task = progress.add_task(f"updating {request.board.name}", total=count)
            report = partial(_show, progress, task)
            results.append(torture_link(request, count, seed, images, report))
    failures = sum(r.failures for r in results)
    if as_json:
        print_json(
            {
                "count": sum(r.count for r in results),
                "failures": failures,
                "seconds": round(sum(r.seconds for r in results), 1),
                "seed": seed,
                "runs": [dataclasses.asdict(r) for r in results],
            }
        )
    else:
        table = Table("board", "updates", "failures", "endings", "cut at", "faults", "seconds")
        for r in results:
            endings = ", ".join(f"{n} {kind}" for kind, n in sorted(r.outcomes.items()))
            made = ", ".join(f"{n} {kind}" for kind, n in r.faults.items())
            cuts = f"{r.cuts} of {r.frames} frames"
            table.add_row(
                r.board, str(r.count), str(r.failures), endings, cuts, made, f"{r.seconds}"
            )
        console.print(table)
        for r in results:
            if r.failures:
                errors.print(f"{r.board}: {r.message}", markup=False, soft_wrap=True)
    if failures:
        raise typer.Exit(1)


def _show(progress: Progress, task: TaskID, done: int) -> None:
    progress.update(task, completed=done)
