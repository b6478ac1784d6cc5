"""`tinyseal torture link`."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from tinyseal.build.firmware import Request
from tinyseal.build.scons import build
from tinyseal.cli.boards import named_board
from tinyseal.cli.campaign import SMALL_MODEL, Columns, conclude_runs, progress
from tinyseal.cli.output import JsonOption
from tinyseal.codegen.firmware import ImageName

_COLUMNS: Final[Columns] = {
    "board": lambda r: r.board,
    "updates": lambda r: r.count,
    "failures": lambda r: r.failures,
    "endings": lambda r: ", ".join(f"{n} {kind}" for kind, n in sorted(r.outcomes.items())),
    "cut at": lambda r: f"{r.cuts} of {r.frames} frames",
    "faults": lambda r: ", ".join(f"{n} {kind}" for kind, n in r.faults.items()),
    "seconds": lambda r: r.seconds,
}


def link(
    board: Annotated[
        list[str] | None,
        typer.Option(help="Virtual board; several times for several. `host` if none."),
    ] = None,
    count: Annotated[
        int,
        typer.Option(
            min=0, help="Updates of each board; 0: as many as cut the line at every frame."
        ),
    ] = 100,
    seed: Annotated[
        int, typer.Option(help="Number of the campaign: same number, same faults.")
    ] = 1,
    app: Annotated[
        bool, typer.Option("--app", help="Update the application, too: ten times the frames.")
    ] = False,
    ble: Annotated[
        bool, typer.Option("--ble", help="Over virtual BLE: the connection is lost at a packet.")
    ] = False,
    as_json: bool = JsonOption,
) -> None:
    """Updates boards over lines that lose, spoil, double, reorder and stall up to a tenth of the
    frames each, or are cut at one; each update ends right or is reported as failed, and the board
    still takes the next.

    Example: tinyseal torture link --board host --board qemu-m4 --count 400

    Example: tinyseal torture link --ble --count 0
    """
    from tinyseal.torture.link import torture_link

    images: list[ImageName] = ["app", "capsule"] if app else ["capsule"]
    requests = [Request(named_board(name), SMALL_MODEL) for name in board or ["host"]]
    results = []
    for request in requests:
        build(request)
        with progress(f"updating {request.board.name}", count or None, as_json) as report:
            results.append(torture_link(request, count, seed, images, report, ble))
    seconds = sum(r.seconds for r in results)
    conclude_runs("updates", results, _COLUMNS, seconds, seed, as_json)
