"""`tinyseal ota`: updates over serial and BLE, of one device."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from tinyseal.board import Board
from tinyseal.build.firmware import ROOT, Request
from tinyseal.cli.boards import named_board
from tinyseal.cli.database import DATABASE_VARIABLE
from tinyseal.cli.lazy import Entry, lazy_group
from tinyseal.cli.output import JsonOption, console, errors, print_json
from tinyseal.cli.place import OPTIONS, Place, placed, virtual
from tinyseal.errors import BoardError, ToolError, UsageError

if TYPE_CHECKING:
    from smp.image_management import ImageState

    from tinyseal.device.ota import Report
    from tinyseal.device.smp import SmpDevice
    from tinyseal.package.update import Running

INTERRUPTED: Final = 130
Result = TypeVar("Result")

EXIT_CODES: Final = """\b
Exit codes:
  0  done, or there was nothing to do
  1  failed for another reason, which is said
  2  wrong arguments
  3  refused: images for another board, older, damaged or not signed; nothing was sent
  4  the device is out of reach, or was lost; try again
  5  the new images did not prove themselves, the device runs the old ones
  6  what the device runs is not known
  130  stopped by Ctrl-C; the same command goes on where it ended"""

app = typer.Typer(
    cls=lazy_group(
        {
            "campaign": Entry(
                "ota_campaign:campaign", "Update a fleet, canaries first.", "EXIT_CODES"
            ),
            "report": Entry("ota_campaign:report", "What became of a campaign."),
        }
    ),
    help="Update devices over serial and BLE, one or a fleet, and see what they run.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

ProfileOption = typer.Option(
    None, "--profile", help="Profile of the device's board, if it is not one of boards/."
)
ImagesArgument = typer.Argument(
    ..., metavar="IMAGE...", help="Signed images, or folders that hold them."
)
KeyOption = typer.Option(
    None, "--key", "-k", help="Refuse images that this key (PEM, public or private) did not sign."
)
HistoryOption = typer.Option(
    None,
    "--database",
    envvar=DATABASE_VARIABLE,
    metavar="URL",
    help="Fleet database that keeps this update, as campaigns are kept. [default: none]",
)


@app.command(epilog=EXIT_CODES)
@placed
def update(
    images: list[Path] = ImagesArgument,
    key: Path | None = KeyOption,
    profile: str | None = ProfileOption,
    database: str | None = HistoryOption,
    as_json: bool = JsonOption,
    *,
    place: Place,
) -> None:
    """Send images, try them, check that they work, and keep them; or the device goes back.

    Of images for both slots, the one for the device's free slot is sent. An update that was cut
    goes on where it ended when the command is given again. Where a patch from what runs to the new
    image lies beside it (tinyseal delta makes them), that is sent instead.

    \b
    Examples:
      tinyseal ota update build/qemu-m4/kws_int8-auto --board qemu-m4
      tinyseal ota update app_a.img app_b.img capsule_a.img capsule_b.img --port /dev/ttyACM0
      tinyseal ota update release/ --ble greenhouse-3 --key vendor.pem --json
      tinyseal ota update release/ --port /dev/ttyACM0 --database sqlite:///fleet.db
    """

    board = named_board(profile) if profile else None
    _update(images, place, key, board, as_json, database)


def target(request: Request) -> int:
    """`scons ota`: sends what was built; to the virtual board, whose flash is kept, if no place is
    given and the board is one."""
    board, words = request.board, request.words
    if "port" in words and "rig" in words:
        raise BoardError("port= and rig= both say where the board is; give one of them")
    images = [ROOT / request.signed(i, slot) for i in ("app", "capsule") for slot in request.slots]
    port = words.get("port")
    with ExitStack() as stack:
        if "rig" in words:
            from tinyseal.device.rigs import load_bench, serial_ports

            rig = load_bench().named(words["rig"])
            port = rig.port(serial_ports())
            if port is None:
                raise BoardError(rig.absence)
        elif port is None and board.runner is not None:
            port = stack.enter_context(virtual(request, None)).address
        _update(images, Place(port, baud=board.console.baud), None, board, False)
    return 0


def _update(
    images: list[Path],
    place: Place,
    key: Path | None,
    profile: Board | None,
    as_json: bool,
    database: str | None = None,
) -> None:
    async def work() -> Report:
        from tinyseal.device.ota import update as update_device
        from tinyseal.package.keys import Use, load_key
        from tinyseal.package.update import read_set

        wanted = read_set(images, load_key(key, Use.SIGN_IMAGES) if key else None)
        async with AsyncExitStack() as stack:
            watcher = stack.enter_context(_Progress(as_json))
            device = await stack.enter_async_context(place.reached())
            update = partial(update_device, device, wanted, watcher, profile)
            if database is None:
                return await update()
            from tinyseal.fleet.database import open_database
            from tinyseal.fleet.history import kept

            return await kept(open_database(database), device, wanted, update)

    report = _run(work, as_json)
    if as_json:
        print_json(report_json(report))
    elif report.outcome == "unchanged":
        console.print(f"{report.board}: runs these images already", highlight=False)
    else:
        _show_update(report)


def _show_update(report: Report) -> None:
    for number, after in sorted(report.after.items()):
        before = report.before.get(number)
        was = f", was {before.version}" if before and before.hash != after.hash else ""
        console.print(f"{_image_name(number)}: {after.version}{was}", highlight=False)
    patched = f", as {' and '.join(report.patches)}" if report.patches else ""
    console.print(
        f"{report.board}: updated in {report.seconds:.1f} s, {report.sent_bytes:,} B sent{patched}"
        f"; checked: {', '.join(report.checked)}",
        highlight=False,
    )


@app.command(epilog=EXIT_CODES)
@placed
def state(
    as_json: bool = JsonOption,
    *,
    place: Place,
) -> None:
    """Show what lies in the device's slots, and what of it runs.

    \b
    Example: tinyseal ota state --port /dev/ttyACM0 --json
    """

    async def work() -> tuple[Any, list[ImageState]]:
        async with place.reached() as device:
            return await device.identity(), await device.images()

    identity, states = _run(work, as_json)
    if as_json:
        print_json(
            {
                "board": identity.board,
                "id": identity.id,
                "images": [_state_json(s) for s in states],
            }
        )
        return
    console.print(f"{identity.board or 'board unknown'} {identity.id}".rstrip(), highlight=False)
    table = Table("image", "slot", "version", "state", "hash")
    for s in states:
        table.add_row(
            _image_name(s.image or 0),
            "ab"[s.slot],
            s.version,
            ", ".join(_flags(s)) or "-",
            (s.hash or b"").hex()[:16],
        )
    console.print(table)


@app.command(epilog=EXIT_CODES)
@placed
def confirm(
    as_json: bool = JsonOption,
    *,
    place: Place,
) -> None:
    """Keep the images that are on trial."""
    from tinyseal.device import ota

    _say_running(_with_device(ota.confirm, place, as_json), as_json)


@app.command(epilog=EXIT_CODES)
@placed
def revert(
    as_json: bool = JsonOption,
    *,
    place: Place,
) -> None:
    """Go back from images on trial; those that wait for one are tried and reverted at once."""
    from tinyseal.device import ota

    _say_running(_with_device(ota.revert, place, as_json), as_json)


@app.command(epilog=EXIT_CODES)
@placed
def erase(
    image: str = typer.Argument("app", help="app or capsule: its slot that is not in use."),
    as_json: bool = JsonOption,
    *,
    place: Place,
) -> None:
    """Erase the slot of an image that is not in use."""
    from tinyseal.device import ota
    from tinyseal.package.sign import IMAGE_NUMBERS

    if image not in IMAGE_NUMBERS:
        raise UsageError(f"image {image!r}: expected {' or '.join(IMAGE_NUMBERS)}")

    async def work(device: SmpDevice) -> dict[int, Running]:
        return await ota.erase(device, IMAGE_NUMBERS[image])

    _say_running(_with_device(work, place, as_json), as_json)


@app.command(epilog=EXIT_CODES)
@placed
def reset(
    as_json: bool = JsonOption,
    *,
    place: Place,
) -> None:
    """Restart the device, and wait until it answers. Images on trial are gone afterwards."""
    from tinyseal.device import ota

    _say_running(_with_device(ota.restart, place, as_json), as_json)


@app.command("list")
def list_(
    ble: bool = typer.Option(False, "--ble", help="Look for devices over BLE as well."),
    hci: str | None = OPTIONS["hci"][1],
    as_json: bool = JsonOption,
) -> None:
    """List the devices in reach: each serial port is asked who is there."""
    from tinyseal.device.reach import reachable

    found = _run(lambda: reachable(ble, hci), as_json)
    if as_json:
        print_json([dataclasses.asdict(f) for f in found])
        return
    table = Table("where", "name", "board", "id", "answers")
    for f in found:
        answers = "yes" if f.problem is None else f"[red]no[/]: {f.problem}"
        table.add_row(f.where, f.name, f.board or "-", f.id or "-", answers)
    console.print(table)
    if not found:
        console.print("no device in reach", highlight=False)


def report_json(report: Report) -> dict[str, Any]:
    return {
        "outcome": report.outcome,
        "board": report.board,
        "id": report.device_id,
        "images": [
            {
                "image": _image_name(number),
                "slot": "ab"[after.slot],
                "version": str(after.version),
                "hash": (after.hash or b"").hex(),
                "version_before": str(before.version) if before else None,
                "hash_before": (before.hash or b"").hex() if before else None,
            }
            for number, after in sorted(report.after.items())
            for before in (report.before.get(number),)
        ],
        "checked": list(report.checked),
        "patches": list(report.patches),
        "sent_bytes": report.sent_bytes,
        "seconds": report.seconds,
    }


def _run(work: Callable[[], Coroutine[Any, Any, Result]], as_json: bool) -> Result:
    """Runs `work`; Ctrl-C ends it in one line, and with --json errors are on stdout as well."""
    from tinyseal.device.links import quiet_libraries
    from tinyseal.device.ota import outcome_of

    try:
        with quiet_libraries():
            return asyncio.run(work())
    except KeyboardInterrupt:
        reason = "stopped; the same command goes on where it ended"
        if as_json:
            print_json({"outcome": "stopped", "reason": reason, "exit_code": INTERRUPTED})
        errors.print(reason, highlight=False)
        raise typer.Exit(INTERRUPTED) from None
    except ToolError as e:
        if as_json:
            print_json({"outcome": outcome_of(e), "reason": str(e), "exit_code": e.exit_code})
        raise


def _with_device(
    work: Callable[[SmpDevice], Coroutine[Any, Any, Result]], place: Place, as_json: bool
) -> Result:
    async def reached() -> Result:
        async with place.reached() as device:
            return await work(device)

    return _run(reached, as_json)


class _Progress:
    """What an update is at, on a terminal: a line for each stage, a bar for each image."""

    def __init__(self, is_quiet: bool) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        quiet = is_quiet or not errors.is_terminal
        self._progress = Progress(*columns, console=errors, transient=True, disable=quiet)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> _Progress:
        self._progress.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._progress.stop()

    def stage(self, text: str) -> None:
        if not self._progress.disable:
            self._progress.console.print(text, style="dim", highlight=False)

    def sent(self, file: str, size: int, done: int, resumed: int) -> None:
        if file not in self._tasks:
            self._tasks[file] = self._progress.add_task(file, total=size, completed=resumed)
        self._progress.update(self._tasks[file], completed=done)


def _say_running(running: dict[int, Running], as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {
                    "image": _image_name(number),
                    "slot": "ab"[r.slot],
                    "version": str(r.version),
                    "hash": (r.hash or b"").hex(),
                }
                for number, r in sorted(running.items())
            ]
        )
        return
    for number, r in sorted(running.items()):
        console.print(f"{_image_name(number)}: {r.version}, slot {'ab'[r.slot]}", highlight=False)


def _image_name(number: int) -> str:
    from tinyseal.package.update import NAMES

    return NAMES.get(number, str(number))


def _flags(s: ImageState) -> list[str]:
    flags = ("active", "confirmed", "pending", "permanent", "bootable")
    return [flag for flag in flags if getattr(s, flag)]


def _state_json(s: ImageState) -> dict[str, Any]:
    return {
        "image": _image_name(s.image or 0),
        "slot": "ab"[s.slot],
        "version": s.version,
        "hash": (s.hash or b"").hex(),
        "flags": _flags(s),
    }
