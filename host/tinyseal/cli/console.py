"""`tinyseal console`: a terminal to a board, virtual or real."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import serial
import typer
from serial.tools.miniterm import TRANSFORMATIONS, Miniterm, Transform

from tinyseal.build.firmware import AUTO, DEFAULT_BOARD, DEFAULT_MODEL, ROOT, Request
from tinyseal.cli.boards import named_board
from tinyseal.cli.output import errors
from tinyseal.device.boot_status import explained
from tinyseal.device.client import Client, open_port
from tinyseal.virtual.boards import VirtualBoard, power_up, start

ANSWER_SECONDS: Final = 120.0

BoardOption = typer.Option(DEFAULT_BOARD, "--board", "-b", help="Board to talk to.")
ImageOption = typer.Option(
    None,
    "--image",
    help="Merged image for a virtual board; default: the last build of the default model.",
)
PortOption = typer.Option(None, "--port", help="Serial port of a real board.")


def console(
    board: str = BoardOption, image: Path | None = ImageOption, port: str | None = PortOption
) -> None:
    """Talk to a board: commands of firmware/SPEC.md, one a line; `help` lists them.

    At a terminal, Ctrl-] ends it. Without one, commands are read from standard input and the
    answers are printed, so that scripts can use it.
    """
    profile = named_board(board)
    with ExitStack() as stack:
        machine: VirtualBoard | None = None
        if port is None:
            built = Request(profile, DEFAULT_MODEL, AUTO)
            machine = stack.enter_context(
                power_up(profile, ROOT / built.bootloader, image=image or ROOT / built.merged)
            )
            port = machine.port
        line = stack.enter_context(open_port(port, profile.console.baud))
        if machine is not None:
            machine.go()
        if sys.stdin.isatty():
            _interact(line)
        else:
            _pipe(Client(line), starting=machine is not None)


def serve(request: Request) -> int:
    """`scons pty`: a virtual board for other programs, until Ctrl-C or SIGTERM to QEMU.

    Its boot text is read here: MLPerf's runner would take the `m-ready` in it for the end of its
    first answer. Then the line stays open, unread, so that the board does not notice when one
    program leaves and the next comes.
    """
    with (
        start(request) as machine,
        Client(open_port(machine.port, request.board.console.baud)) as client,
    ):
        machine.go()
        client.boot()
        print(f"{request.board.name} with {request.model.stem}: {machine.port}", flush=True)
        errors.print(f"Ctrl-C ends it (or: kill {machine.pid})", style="dim", highlight=False)
        machine.wait()
    return 0


class Explaining(Transform):  # type: ignore[misc]  # pyserial has no types
    """The bootloader's lines in words. They are held back until they are whole; nothing else is."""

    def __init__(self) -> None:
        self._held = ""

    def rx(self, text: str) -> str:
        *whole, last = (self._held + text).split("\n")
        is_ours = "boot ".startswith(last[:5])
        self._held = last if is_ours else ""
        return "".join(f"{explained(line)}\n" for line in whole) + ("" if is_ours else last)


def _interact(line: serial.Serial) -> None:
    errors.print("Ctrl-] ends it; lines end with Enter, MLPerf commands with %", style="dim")
    TRANSFORMATIONS["explaining"] = Explaining
    terminal = Miniterm(line, echo=True, eol="lf", filters=("explaining",))
    terminal.set_rx_encoding("ascii", "replace")
    terminal.set_tx_encoding("ascii", "ignore")
    terminal.start()
    terminal.join()


def _pipe(client: Client, starting: bool) -> None:
    if starting:
        client.boot()
    else:
        client.sync()
    for text in sys.stdin:
        command = text.strip()
        if not command:
            continue
        client.raw(command.encode() + (b"" if command.endswith("%") else b"\n"))
        answer = ""
        while not (answer in ("ok", "m-ready") or answer.startswith(("ok ", "err "))):
            answer = client.line(ANSWER_SECONDS)
            print(answer)
