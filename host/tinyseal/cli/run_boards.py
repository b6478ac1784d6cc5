"""`tinyseal run`: virtual boards for other programs, until Ctrl-C."""

from __future__ import annotations

import signal
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from tinyseal.build.firmware import AUTO, DEFAULT_BOARD, DEFAULT_MODEL, KERNEL_CHOICES, Request
from tinyseal.cli.boards import named_board
from tinyseal.cli.output import JsonOption, console, errors, print_json
from tinyseal.device.client import Client, open_port
from tinyseal.errors import DeviceError, UsageError
from tinyseal.virtual.boards import VirtualBoard, start

MAX_BOARDS: Final = 500


@dataclass(frozen=True)
class Running:
    """A virtual board, and how to reach it."""

    name: str
    port: str  # its console
    radio: str | None  # its SMP stream; taken where the board is on the air
    ble: str | None  # the name it advertises
    pid: int


def run(
    board: Annotated[str, typer.Option("--board", "-b", help="Board to run.")] = DEFAULT_BOARD,
    model: Annotated[Path, typer.Option(help="Model of the build to run.")] = DEFAULT_MODEL,
    kernels: Annotated[
        str, typer.Option(help=f"Kernels of the build: {', '.join(KERNEL_CHOICES)}.")
    ] = AUTO,
    count: Annotated[int, typer.Option(min=1, max=MAX_BOARDS, help="How many boards.")] = 1,
    flash: Annotated[
        Path | None,
        typer.Option(help="File, or with --count folder, that keeps the flash. Else none does."),
    ] = None,
    ble: Annotated[
        str | None,
        typer.Option(help="Advertise over virtual BLE under this name; with --count NAME-1..."),
    ] = None,
    as_json: bool = JsonOption,
) -> None:
    """Starts virtual boards as built and leaves them running until Ctrl-C.

    Examples:

      scons board=host && tinyseal run --board host --count 20

      tinyseal run --board qemu-m4 --ble kitchen
    """
    profile = named_board(board)
    if kernels not in KERNEL_CHOICES:
        raise UsageError(f"no kernels {kernels!r}; choices: {', '.join(KERNEL_CHOICES)}")
    request = Request(profile, model, kernels)
    with ExitStack() as stack:
        stack.enter_context(suppress(KeyboardInterrupt))
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        boards = []
        for number in range(1, count + 1):
            suffix = f"-{number}" if count > 1 else ""
            file = flash / f"{board}{suffix}.bin" if flash and count > 1 else flash
            machine = stack.enter_context(start(request, flash=file))
            # Open while the board runs: it does not notice when programs leave and come.
            line = stack.enter_context(open_port(machine.port, profile.console.baud))
            machine.go()
            boards.append((f"{board}{suffix}", f"{ble}{suffix}" if ble else None, machine, line))
        for _, _, _, line in boards:
            Client(line).boot()
        radios = {a: (_radio(n, m), profile.console.baud) for n, a, m, _ in boards if a}
        hci = None
        if radios:
            from tinyseal.virtual.air import on_air

            hci = stack.enter_context(on_air(radios)).hci
        _tell([Running(n, m.port, m.radio, a, m.pid) for n, a, m, _ in boards], hci, as_json)
        for _, _, machine, _ in boards:
            machine.wait()


def _radio(name: str, machine: VirtualBoard) -> str:
    if machine.radio is None:
        raise DeviceError(f"{name}: has no line for BLE (radio_base in its profile)")
    return machine.radio


def _tell(boards: list[Running], hci: str | None, as_json: bool) -> None:
    if as_json:
        print_json({"boards": [asdict(b) for b in boards], "hci": hci})
        return
    table = Table("board", "console", "BLE", "process")
    for b in boards:
        table.add_row(b.name, b.port, b.ble or "", str(b.pid))
    console.print(table)
    if hci is not None:
        console.print(f"BLE: --ble {boards[0].ble} --hci {hci}", highlight=False)
    errors.print("Ctrl-C ends it", style="dim", highlight=False)
