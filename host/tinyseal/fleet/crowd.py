"""Virtual devices of a fleet file, on while a campaign needs them."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tinyseal.build.firmware import AUTO, DEFAULT_MODEL, Request
from tinyseal.device.links import Link
from tinyseal.fleet.fleet_file import Fleet
from tinyseal.profiles import load_board
from tinyseal.virtual.boards import start


def links(fleet: Fleet, base: Path, stack: ExitStack) -> dict[str, Link]:
    """Where each device of the fleet is; the virtual ones are on until `stack` is closed. Folders
    are relative to `base`. A new one has the last build of the default model."""
    found = {entry.name: entry.link() for entry in fleet.device}
    for crowd in fleet.crowd:
        request = Request(load_board(crowd.board), DEFAULT_MODEL, AUTO)
        for name in crowd.names():
            flash = base / crowd.folder / f"{name}.bin"
            machine = stack.enter_context(start(request, flash=flash))
            machine.go()
            found[name] = Link(machine.port, request.board.console.baud)
    return found
