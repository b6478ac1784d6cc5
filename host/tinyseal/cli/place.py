"""The options that say where a device is, the same for every sub-command that talks SMP to one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from tinyseal.build.firmware import AUTO, DEFAULT_MODEL, ROOT, Request
from tinyseal.cli.boards import named_board
from tinyseal.errors import UsageError

if TYPE_CHECKING:
    from tinyseal.device.links import Link
    from tinyseal.device.smp import SmpDevice


@dataclass(frozen=True)
class Place:
    """Where a device is; nothing given means the only one that is attached."""

    port: str | None = None
    ble: str | None = None
    board: str | None = None
    flash: Path | None = None
    baud: int | None = None
    hci: str | None = None

    @asynccontextmanager
    async def reached(self) -> AsyncIterator[SmpDevice]:
        """The device, on an open link. UsageError for options that contradict each other."""
        from tinyseal.device.links import DEFAULT_BAUD, Link, attached, the_attached
        from tinyseal.device.smp import SmpDevice

        if sum(way is not None for way in (self.port, self.ble, self.board)) > 1:
            raise UsageError("--port, --ble and --board each say where the device is; give one")
        async with AsyncExitStack() as stack:
            if self.board is not None:
                built = Request(named_board(self.board), DEFAULT_MODEL, AUTO)
                link = stack.enter_context(virtual(built, self.flash))
            elif self.ble is not None:
                link = Link(self.ble, is_ble=True, hci=self.hci)
            elif self.port is not None:
                link = Link(self.port, self.baud or DEFAULT_BAUD)
            else:
                link = the_attached(attached())
            yield await stack.enter_async_context(SmpDevice(link))


OPTIONS: Final[dict[str, tuple[Any, Any]]] = {
    "port": (str | None, typer.Option(None, "--port", "-p", help="Serial port of the device.")),
    "ble": (
        str | None,
        typer.Option(None, "--ble", help="Name or address that the device advertises."),
    ),
    "board": (
        str | None,
        typer.Option(
            None, "--board", "-b", help="Virtual board, switched on for this; --flash keeps it."
        ),
    ),
    "flash": (
        Path | None,
        typer.Option(
            None, "--flash", help="File of --board's flash. [default: build/BOARD/flash.bin]"
        ),
    ),
    "baud": (
        int | None,
        typer.Option(None, "--baud", min=1, help="Bit rate of --port. [default: 115200]"),
    ),
    "hci": (
        str | None,
        typer.Option(
            None, "--hci", help="Controller for --ble, as bumble names it. [default: the system's]"
        ),
    ),
}


def placed(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameter `place` comes from OPTIONS."""

    @functools.wraps(command)
    def wrapper(**arguments: Any) -> None:
        place = Place(**{name: arguments.pop(name) for name in OPTIONS})
        command(**arguments, place=place)

    signature = inspect.signature(command, eval_str=True)
    own = [p for name, p in signature.parameters.items() if name != "place"]
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=kind)
        for name, (kind, option) in OPTIONS.items()
    ]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + options
    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapper


@contextmanager
def virtual(request: Request, flash: Path | None) -> Iterator[Link]:
    """A virtual board for as long as it is needed. Its flash is kept, if it keeps one; a new one
    has what was built."""
    from tinyseal.device.links import Link
    from tinyseal.virtual.boards import start

    board = request.board
    keeps = board.runner is not None and board.runner.flash_file_bytes is not None
    if keeps and flash is None:
        flash = ROOT / request.board_folder / "flash.bin"
    with start(request, flash=flash) as machine:
        machine.go()
        yield Link(machine.port, board.console.baud)
