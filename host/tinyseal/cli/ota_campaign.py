"""`tinyseal ota campaign` and `report`: updates of a fleet."""

from __future__ import annotations

import asyncio
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from tinyseal.cli.database import DatabaseOption
from tinyseal.cli.ota import INTERRUPTED, ImagesArgument, KeyOption
from tinyseal.cli.output import JsonOption, console, errors, print_json

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from tinyseal.fleet.campaign import Runner
    from tinyseal.fleet.report import CampaignReport

CODES: Final = {"done": 0, "incomplete": 1, "stopped": 5, "paused": INTERRUPTED}
EXIT_CODES: Final = """\b
Exit codes:
  0  every device runs the images
  1  some do not: out of reach, or failed
  2  wrong arguments
  3  refused: images damaged or not signed
  5  stopped: a canary or too many devices failed
  130  paused by Ctrl-C; the same command goes on"""
STYLES: Final = {
    "updated": "green",
    "unchanged": "cyan",
    "out of reach": "yellow",
    "waiting": "dim",
    "cut": "dim",
}

FleetArgument = typer.Argument(..., metavar="FLEET.toml", help="Which devices, and how.")
HtmlOption = typer.Option(None, "--html", help="Also write the report as a page, to this file.")


def campaign(
    fleet: Path = FleetArgument,
    images: list[Path] = ImagesArgument,
    key: Path | None = KeyOption,
    html: Path | None = HtmlOption,
    anew: bool = typer.Option(
        False, "--new", help="Leave an unfinished campaign with other images behind."
    ),
    database: str | None = DatabaseOption,
    as_json: bool = JsonOption,
) -> None:
    """Update a fleet: canaries first, then the others, many at a time.

    What happens is kept in the fleet's database. A campaign that was paused by Ctrl-C, stopped, or
    whose tool was killed, goes on when the command is given again; devices that are through are
    left alone.

    \b
    Example of a fleet file:
      name = "spring"
      parallel = 8               # devices at a time
      canary_share = 0.1         # first; all of them must get there
      canary_hold_seconds = 60   # and still work after that
      max_failure_share = 0.1    # more failures stop the campaign
      [[device]]
      name = "porch"
      port = "/dev/serial/by-id/usb-..."
      [[crowd]]                  # virtual devices
      name = "crowd"
      board = "host"
      count = 20
      folder = "flash"
    \b
    Examples:
      tinyseal ota campaign fleet.toml release/ --html report.html
      tinyseal ota campaign fleet.toml app_a.img app_b.img --database postgresql://fleet@db/fleet
    """
    from tinyseal.device.links import quiet_libraries
    from tinyseal.fleet.campaign import Runner
    from tinyseal.fleet.crowd import links
    from tinyseal.fleet.database import open_database
    from tinyseal.fleet.fleet_file import read_fleet
    from tinyseal.fleet.report import read_report
    from tinyseal.package.keys import Use, load_key
    from tinyseal.package.update import read_set

    described = read_fleet(fleet)
    wanted = read_set(images, load_key(key, Use.SIGN_IMAGES) if key else None)
    engine = open_database(database)
    with ExitStack() as stack:
        where = links(described, fleet.parent, stack)
        audience = stack.enter_context(_Audience(len(where), as_json))
        stack.enter_context(quiet_libraries())
        runner = Runner(engine, described, where, wanted, audience, anew)
        asyncio.run(_run(runner))
    show(read_report(engine, str(runner.campaign_id)), html, as_json)


def report(
    name: str | None = typer.Argument(None, help="Name or number; default: the last campaign."),
    html: Path | None = HtmlOption,
    every: bool = typer.Option(False, "--list", help="List all campaigns instead."),
    database: str | None = DatabaseOption,
    as_json: bool = JsonOption,
) -> None:
    """Tell what became of a campaign.

    \b
    Examples:
      tinyseal ota report --list
      tinyseal ota report spring --html spring.html
    """
    from tinyseal.fleet.database import open_database
    from tinyseal.fleet.report import read_report

    engine = open_database(database)
    if every:
        _list(engine, as_json)
    else:
        show(read_report(engine, name), html, as_json, exits=False)


async def _run(runner: Runner) -> None:
    """Ctrl-C once: no device begins any more. Twice: those under way are let go as well."""
    task = asyncio.ensure_future(runner.run())
    pressed = 0

    def interrupt() -> None:
        nonlocal pressed
        pressed += 1
        left = runner.pause()
        if pressed > 1 or not left:
            task.cancel()
        else:
            runner.audience.said(f"pausing: {left} devices under way; Ctrl-C again leaves them")

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    try:
        await task
    except asyncio.CancelledError:
        if not pressed:
            raise


def show(report: CampaignReport, html: Path | None, as_json: bool, exits: bool = True) -> None:
    """Prints a report, writes its page, and exits with its status."""
    from tinyseal.fleet.report import as_data, as_html
    from tinyseal.package.files import write_file

    if html is not None:
        write_file(html, as_html(report).encode())
    if as_json:
        print_json(as_data(report))
    else:
        _show(report)
    if exits and CODES.get(report.status, 1):
        raise typer.Exit(CODES.get(report.status, 1))


def _show(report: CampaignReport) -> None:
    table = Table("device", "board", "outcome", "tries", "seconds", "what changed")
    for d in report.devices:
        changes = [
            f"{c['image']} {_short(c['version_before'])} -> {_short(c['version_after'])}"
            for a in d.attempts
            for c in a.changes
        ]
        reason = next((a.reason for a in reversed(d.attempts) if a.reason), None)
        seconds = sum(a.seconds or 0 for a in d.attempts)
        style = STYLES.get(d.outcome, "bold red")
        told = changes or ([reason] if reason and d.outcome != "updated" else [])
        table.add_row(
            d.name + (" (canary)" if d.is_canary else ""),
            d.board or "-",
            f"[{style}]{d.outcome}[/]",
            str(len(d.attempts)),
            f"{seconds:.1f}",
            "\n".join(told),
        )
    console.print(table)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in report.counts.items())
    console.print(f"campaign {report.name} ({report.id}): {report.status}; {counts}",
                  highlight=False)  # fmt: skip
    if report.reason:
        console.print(report.reason, style="bold red", markup=False, highlight=False)


def _short(version: str | None) -> str:
    return "none" if version is None else version.removesuffix("+0")


def _list(engine: Engine, as_json: bool) -> None:
    from tinyseal.fleet.report import as_data, list_campaigns

    reports = list_campaigns(engine)
    if as_json:
        print_json([{k: v for k, v in as_data(r).items() if k != "devices"} for r in reports])
        return
    table = Table("number", "name", "status", "begun (UTC)", "devices")
    for r in reports:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in r.counts.items())
        table.add_row(str(r.id), r.name, r.status, f"{r.started:%Y-%m-%d %H:%M:%S}", counts)
    console.print(table)


class _Audience:
    """A campaign on a terminal: a bar for all devices, one for each that is under way."""

    def __init__(self, devices: int, is_quiet: bool) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        quiet = is_quiet or not errors.is_terminal
        self._progress = Progress(*columns, console=errors, transient=True, disable=quiet)
        self._whole = self._progress.add_task("devices", total=devices)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> _Audience:
        self._progress.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._progress.stop()

    def began(self, device: str) -> None:
        self._tasks[device] = self._progress.add_task(device, total=None)

    def moved(self, device: str, done: int, total: int) -> None:
        self._progress.update(self._tasks[device], completed=done, total=total)

    def ended(self, device: str, outcome: str, reason: str | None) -> None:
        self._progress.remove_task(self._tasks.pop(device))
        self._progress.advance(self._whole)
        if reason is not None:
            self.said(f"{device}: {outcome}: {reason}")

    def said(self, text: str) -> None:
        errors.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)
