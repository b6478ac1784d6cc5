"""`tinyseal flash` and `scons flash`: firmware onto a real board, by the tool of its profile."""

from __future__ import annotations

import shlex
from pathlib import Path

import typer

from tinyseal.board import Board
from tinyseal.build.firmware import AUTO, DEFAULT_MODEL, KERNEL_CHOICES, ROOT, Request
from tinyseal.cli.boards import named_board
from tinyseal.cli.output import JsonOption, console, print_json
from tinyseal.device.flasher import flash as flash_board
from tinyseal.device.flasher import planned_command
from tinyseal.device.rigs import load_bench, serial_ports
from tinyseal.errors import DeviceError, UsageError

BoardOption = typer.Option(..., "--board", "-b", help="A board, or a profile's path.")
ImageOption = typer.Option(None, "--image", help="Merged .hex; else what scons built for --model.")
ModelOption = typer.Option(DEFAULT_MODEL, "--model", "-m", help="The model of the built firmware.")
KernelsOption = typer.Option(AUTO, "--kernels", help="The kernels of the built firmware.")
PortOption = typer.Option(None, "--port", help="Its serial port; found by USB id if left out.")
RigOption = typer.Option(None, "--rig", help="Its name in hil/bench.toml.")
DryRunOption = typer.Option(False, "--dry-run", help="Print the command; run nothing.")
EXAMPLES = """Examples:

tinyseal flash --board my-board --dry-run

tinyseal flash --board my-board --port /dev/ttyUSB0 --image firmware.hex
"""


def flash(
    board: str = BoardOption,
    image: Path | None = ImageOption,
    model: Path = ModelOption,
    kernels: str = KernelsOption,
    port: str | None = PortOption,
    rig: str | None = RigOption,
    dry_run: bool = DryRunOption,
    as_json: bool = JsonOption,
) -> None:
    """Write a firmware to a board with esptool, pyocd, openocd, dfu-util or onto its UF2 drive."""
    profile = named_board(board)
    if kernels not in KERNEL_CHOICES:
        raise UsageError(f"no kernel set {kernels!r}; kernels: {', '.join(KERNEL_CHOICES)}")
    file = image or ROOT / Request(profile, model, kernels).merged
    where = place(profile, port, rig)
    command, absence = planned_command(profile, file, where)
    if not dry_run:
        flash_board(profile, file, where)
    if as_json:
        told = {"board": profile.name, "command": command, "absence": absence}
        print_json({**told, "done": not dry_run})
    elif dry_run:
        typer.echo(shlex.join(command))
        if absence:
            typer.echo(f"note: {absence}", err=True)
    else:
        console.print(f"{profile.name}: {file.name} is on the board", highlight=False)


def target(request: Request) -> int:
    """`scons flash`: what was just built."""
    where = place(request.board, request.words.get("port"), request.words.get("rig"))
    flash_board(request.board, ROOT / request.merged, where)
    console.print(f"{request.board.name}: {request.merged} is on the board", highlight=False)
    return 0


def place(board: Board, port: str | None, rig: str | None) -> str | None:
    """The port of a board; None: to be found. UsageError, BoardError, DeviceError."""
    if rig is None:
        return port
    if port is not None:
        raise UsageError("port and rig both say where the board is; give one of them")
    found = load_bench().named(rig)
    if found.board != board.name:
        raise UsageError(f"{rig} is a {found.board}, not a {board.name}")
    there = found.port(serial_ports())
    if there is None:
        raise DeviceError(found.absence)
    return there
