"""`tinyseal torture faults`."""

from __future__ import annotations

import time
from typing import Annotated, Final

import typer

from tinyseal.build.firmware import Request
from tinyseal.build.scons import build
from tinyseal.cli.campaign import SMALL_MODEL, Columns, conclude_runs, progress
from tinyseal.cli.output import JsonOption
from tinyseal.profiles import load_board
from tinyseal.torture.attack import attack, require_attackable

_COLUMNS: Final[Columns] = {
    "bad image": lambda r: r.image,
    "path": lambda r: r.path,
    "hit": lambda r: r.faulted,
    "faults": lambda r: r.count,
    "ran": lambda r: r.failures,
    "outcomes": lambda r: ", ".join(f"{n} {name}" for name, n in r.outcomes.items()),
    "seconds": lambda r: r.seconds,
}


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
    request = Request(load_board(board), SMALL_MODEL)
    require_attackable(request.board)
    build(request)
    started = time.monotonic()
    with progress("glitching", None, as_json) as report:
        results = attack(
            request.board,
            request.bootloader,
            count or None,
            seed,
            kind or (),
            lambda done, of: report(done, min(of, count or of)),
        )
    seconds = time.monotonic() - started
    fallen = [f"{r.image}: {line}" for r in results for line in r.fallen]
    conclude_runs("faults", results, _COLUMNS, seconds, seed, as_json, fallen)
