"""`tinyseal torture kill`."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from tinyseal.board import Board
from tinyseal.build.firmware import Request
from tinyseal.build.scons import build
from tinyseal.cli.campaign import SMALL_MODEL, Columns, conclude_runs, progress
from tinyseal.cli.output import JsonOption
from tinyseal.errors import UsageError
from tinyseal.profiles import board_names, load_board
from tinyseal.torture.kill import torture_kill
from tinyseal.torture.kill_update import torture_update


def kill(
    board: Annotated[
        list[str] | None,
        typer.Option(
            help="Board, or path of a profile; several times for several. All whose flash "
            "outlives QEMU, if none."
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Kills, in all.")] = 100,
    seed: Annotated[int, typer.Option(help="Number of the campaign: it sets the moments.")] = 1,
    update: Annotated[
        bool,
        typer.Option(
            "--update", help="Kill the bootloader while it installs an update: old or new boots."
        ),
    ] = False,
    upload: Annotated[
        bool,
        typer.Option(
            "--upload",
            help="Kill the board while a tool updates it over SMP: the next try ends the update.",
        ),
    ] = False,
    as_json: bool = JsonOption,
) -> None:
    """Kills virtual boards while the firmware writes to flash; nothing that was told may be lost.

    Example: tinyseal torture kill --board qemu-m4 --count 1000

    Example: tinyseal torture kill --upload --board host --count 1000
    """
    if update and upload:
        raise UsageError("--update and --upload are two campaigns: give one of them")
    boards = [load_board(name) for name in board] if board else _with_lasting_flash()
    if upload and not board:
        boards = [b for b in boards if b.services.smp_images]
    requests = [Request(b, SMALL_MODEL) for b in boards if update or upload]
    for request in requests:
        build(request)
    started = time.monotonic()
    with progress("killing", count, as_json) as report:
        if update:
            results = torture_update(requests, count, seed, report)
        elif upload:
            from tinyseal.torture.kill_upload import torture_upload

            results = torture_upload(requests, count, seed, report=report)
        else:
            results = torture_kill(boards, count, seed, report)
    columns: Columns = {
        "board": lambda r: r.board,
        "kills": lambda r: r.count,
        "failures": lambda r: r.failures,
        "updates kept" if update or upload else "writes told": lambda r: r.steps,
        "seconds": lambda r: r.seconds,
    }
    conclude_runs("kills", results, columns, time.monotonic() - started, seed, as_json)


def _with_lasting_flash() -> list[Board]:
    boards = [load_board(name) for name in board_names()]
    return [b for b in boards if b.runner and b.runner.flash_file_bytes]
