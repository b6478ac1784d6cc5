"""`tinyseal observe watch|serve|export`: the fleet as it goes on, on a terminal, in a browser, and
for other people's monitoring."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from tinyseal.cli.database import DatabaseOption
from tinyseal.cli.observe import (
    ALERT_CODE,
    DeviceArgument,
    MeasuresOption,
    RuleOption,
    find,
    fleet_table,
    print_alerts,
    rules_of,
)
from tinyseal.cli.output import JsonOption, console, errors
from tinyseal.cli.place import Place, placed
from tinyseal.errors import ToolError, UsageError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from tinyseal.fleet.alerts import Alert
    from tinyseal.fleet.watch import Watched

EveryOption = typer.Option(10.0, "--every", min=0.1, help="Seconds from one look to the next.")
RoundsOption = typer.Option(0, "--rounds", min=0, help="Looks, then end. [default: until Ctrl-C]")
UntilOption = typer.Option(False, "--until-alert", help="End with the first look that has alerts.")


@placed
def watch(
    every: float = EveryOption,
    rounds: int = RoundsOption,
    until_alert: bool = UntilOption,
    rule: list[str] | None = RuleOption,
    measures: bool = MeasuresOption,
    database: str | None = DatabaseOption,
    as_json: bool = JsonOption,
    *,
    place: Place,
) -> None:
    """The fleet as a table that follows the database. With --port, --ble or --board that device is
    pulled before every look. Ends with exit code 3 if the last look had alerts.

    \b
    Example: tinyseal observe watch
             tinyseal observe watch --port /dev/ttyACM0 --every 60 --until-alert
             tinyseal observe watch --rounds 1 --rule 'silent > 24' --rule 'stack > 0.9'
    """
    from tinyseal.fleet.alerts import alerts
    from tinyseal.fleet.database import open_database
    from tinyseal.fleet.watch import Fleet

    rules = rules_of(rule)
    engine = open_database(database)
    fleet = Fleet(engine)
    is_live = console.is_terminal and not as_json
    broken: list[Alert] = []
    looks = 0
    screen = Live(console=console, auto_refresh=False) if is_live else contextlib.nullcontext()
    with screen as live, contextlib.suppress(KeyboardInterrupt):
        while True:
            trouble = _pulled(place, engine)
            now = datetime.now(UTC)
            found = fleet.look()
            broken = alerts(found, rules, now)
            if live is not None:
                live.update(_screen(found, broken, trouble, now), refresh=True)
            else:
                _tell(found, broken, trouble, as_json)
            looks += 1
            if looks == rounds or (broken and until_alert):
                break
            time.sleep(every)
    if broken:
        raise typer.Exit(ALERT_CODE)


def _pulled(place: Place, engine: Engine) -> str | None:
    """What is in the way, if something is: a device that is away now may be there in a while."""
    from tinyseal.fleet.telemetry import pull

    if not (place.port or place.ble or place.board):
        return None

    async def work() -> None:
        async with place.reached() as device:
            await pull(device, engine)

    try:
        asyncio.run(work())
    except UsageError:
        raise
    except ToolError as e:
        return str(e)
    return None


def _screen(found: list[Watched], broken: list[Alert], trouble: str | None, now: datetime) -> Group:
    lines = [Text(f"{a.device}: {a.rule}, is {a.value:g}", style="bold red") for a in broken]
    if trouble is not None:
        lines.append(Text(trouble, style="yellow"))
    return Group(fleet_table(found), *lines, Text(f"{now:%H:%M:%S} UTC", style="dim"))


def _tell(found: list[Watched], broken: list[Alert], trouble: str | None, as_json: bool) -> None:
    if trouble is not None:
        errors.print(trouble, style="yellow", markup=False, highlight=False, soft_wrap=True)
    if as_json:  # a line for each look, so that a program can follow
        import json

        facts = [d.to_json() for d in found]
        typer.echo(json.dumps({"alerts": [a.to_json() for a in broken], "devices": facts}))
        return
    console.print(fleet_table(found))
    print_alerts(broken)


def serve(
    host: str = typer.Option("127.0.0.1", "--host", help="Address to listen at."),
    port: int = typer.Option(8766, "--port", min=0, max=65535, help="TCP port."),
    rule: list[str] | None = RuleOption,
    measures: bool = MeasuresOption,
    database: str | None = DatabaseOption,
) -> None:
    """The dashboard over HTTP: pages at /, JSON at /v1/devices, metrics for Prometheus at /metrics.
    It asks nobody who they are; beyond this machine, put a proxy in front that does.

    \b
    Example: tinyseal observe serve --port 8766
    """
    try:
        import uvicorn

        from tinyseal.fleet.watch_api import make_app
    except ImportError as e:
        raise UsageError(f"{e.name} is missing; ./setup serve installs it") from e
    from tinyseal.fleet.database import open_database
    from tinyseal.fleet.watch import Fleet

    rules = rules_of(rule)
    app = make_app(Fleet(open_database(database)), rules, lambda: datetime.now(UTC))
    uvicorn.run(app, host=host, port=port, log_level="info")


OtlpOption = typer.Option(
    None, "--otlp", metavar="URL", help="Send to this receiver, as http://host:4318/v1/metrics."
)
PrometheusOption = typer.Option(
    None, "--prometheus", metavar="FILE",
    help="Write for its textfile collector; - for standard output.",
)  # fmt: skip
OpenMetricsOption = typer.Option(
    None, "--openmetrics", metavar="FILE", help="Write as OpenMetrics; - for standard output."
)


def export(
    otlp: str | None = OtlpOption,
    prometheus: Path | None = PrometheusOption,
    openmetrics: Path | None = OpenMetricsOption,
    device: str | None = DeviceArgument,
    database: str | None = DatabaseOption,
) -> None:
    """What is known of the fleet, to other people's monitoring.

    \b
    Example: tinyseal observe export --prometheus /var/lib/node_exporter/tinyseal.prom
             tinyseal observe export --otlp http://collector:4318/v1/metrics
    """
    from tinyseal.package.files import write_file

    if otlp is None and prometheus is None and openmetrics is None:
        raise UsageError("give --prometheus FILE, --openmetrics FILE or --otlp URL")
    try:
        from tinyseal.fleet.metrics import OPEN_METRICS, exposition, families, push

        now = datetime.now(UTC)
        found = families(find(database, device), now)
        for file, form in ((prometheus, ""), (openmetrics, OPEN_METRICS)):
            if file is not None:
                text, _ = exposition(found, form)
                if str(file) == "-":
                    typer.echo(text.decode(), nl=False)
                else:
                    write_file(file, text)
        if otlp is not None:
            points = push(found, otlp, now)
            console.print(f"{points} points sent to {otlp}", highlight=False)
    except ImportError as e:
        raise UsageError(f"{e.name} is missing; ./setup serve installs it") from e
