"""`tinyseal observe`: what devices may tell, and what they tell."""

from __future__ import annotations

import asyncio
import enum
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from tinyseal.build.firmware import DEFAULT_BOARD, DEFAULT_MODEL
from tinyseal.cli.database import DatabaseOption
from tinyseal.cli.keys import PassphraseEnvOption, PassphraseFileOption, passphrase_source
from tinyseal.cli.lazy import Entry, lazy_group
from tinyseal.cli.output import JsonOption, console, errors, print_json
from tinyseal.cli.place import Place, placed
from tinyseal.errors import UsageError

if TYPE_CHECKING:
    from tinyseal.fleet.alerts import Alert, Rule
    from tinyseal.fleet.watch import Watched

app = typer.Typer(
    cls=lazy_group(
        {
            "bench": Entry("observe_bench:bench", "How soon drift is told of streams."),
            "watch": Entry("observe_watch:watch", "The fleet as a table that follows its state."),
            "serve": Entry("observe_watch:serve", "The dashboard over HTTP."),
            "export": Entry("observe_watch:export", "For Prometheus and OpenTelemetry."),
        }
    ),
    help="Statistics of models in the field: drift, latency, memory, energy.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class LevelName(enum.StrEnum):
    NONE = "none"
    HEALTH = "health"
    NOISED = "noised"
    AGGREGATED = "aggregated"
    SAMPLES = "samples"


LevelArgument = typer.Argument(
    None, help="What the device may tell from now on. Left out: show what it may tell."
)
KeyOption = typer.Option(None, "--key", "-k", help="The owner's Ed25519 key, PEM.")
EpsilonOption = typer.Option(
    0.0, "--epsilon", help="Of level noised: privacy a report costs; less is more noise."
)
BudgetOption = typer.Option(
    0.0, "--budget", help="Of level noised: privacy all reports there ever were may cost."
)
RadioOption = typer.Option(False, "--not-by-radio", help="Over the console only.")


@placed
def consent(
    level: LevelName | None = LevelArgument,
    key: Path | None = KeyOption,
    epsilon: float = EpsilonOption,
    budget: float = BudgetOption,
    not_by_radio: bool = RadioOption,
    passphrase_file: Path | None = PassphraseFileOption,
    passphrase_env: str | None = PassphraseEnvOption,
    as_json: bool = JsonOption,
    *,
    place: Place,
) -> None:
    """What a device may tell, decided by its owner's signature. Until then it tells nothing.

    \b
    Example: tinyseal observe consent aggregated --key owner.pem --port /dev/ttyACM0
             tinyseal observe consent noised --epsilon 1 --budget 100 --key owner.pem
             tinyseal observe consent --port /dev/ttyACM0
    """
    from tinyseal.fleet.consent import Consent, Level
    from tinyseal.fleet.telemetry import set_consent, status
    from tinyseal.package.keys import Use, load_private

    owner = None
    if level is not None:
        if key is None:
            raise UsageError("give --key: the owner signs what the device may tell")
        owner = load_private(key, Use.SIGN, passphrase_source(passphrase_file, passphrase_env))

    async def work() -> dict[str, Any]:
        async with place.reached() as device:
            told = await status(device)
            if level is not None and owner is not None:
                identity = await device.identity()
                signed = Consent(
                    bytes.fromhex(identity.id), Level[level.name], told.consent + 1, epsilon,
                    budget, not_by_radio,
                ).sign(owner)  # fmt: skip
                await set_consent(device, signed)
                told = await status(device)
            return {
                "level": Level(told.level).name.lower(),
                "sequence": told.consent,
                "not_by_radio": bool(told.links),
                "epsilon": told.epsilon / 256,
                "budget": told.budget / 256,
                "spent": told.spent / 256,
            }

    facts = asyncio.run(work())
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        console.print(f"{name} {value}", highlight=False)


@placed
def pull(
    database: str | None = DatabaseOption, as_json: bool = JsonOption, *, place: Place
) -> None:
    """Fetch the records of a device that are not known yet.

    \b
    Example: tinyseal observe pull --ble greenhouse-3
    """
    from tinyseal.fleet.database import open_database
    from tinyseal.fleet.telemetry import pull as fetch

    async def work() -> Any:
        engine = open_database(database)
        async with place.reached() as device:
            return await fetch(device, engine)

    done = asyncio.run(work())
    if as_json:
        print_json({"device": done.device, "new": done.new, "newest": done.newest})
    else:
        console.print(
            f"{done.device}: {done.new} new records, the newest is {done.newest}", highlight=False
        )


def find(database: str | None, device: str | None) -> list[Watched]:
    """The fleet or one device; UsageError for one that nothing is known of."""
    from tinyseal.fleet.database import open_database
    from tinyseal.fleet.watch import Fleet

    found = Fleet(open_database(database), device).look()
    if device is not None and not found:
        raise UsageError(f"device {device}: nothing was pulled from it; tinyseal observe pull")
    return found


def rules_of(texts: list[str] | None) -> list[Rule]:
    """Those that always hold, and what is asked for besides."""
    from tinyseal.fleet.alerts import USUAL, parse_rule

    return [*USUAL, *map(parse_rule, texts or ())]


def list_rules(is_wanted: bool) -> None:
    """Callback of an option: prints what rules can be made of, and ends."""
    if not is_wanted:
        return
    from tinyseal.fleet.alerts import MEASURES, USUAL

    for name, (text, _) in MEASURES.items():
        console.print(f"{name:12} {text}", highlight=False)
    console.print(f"always: {', '.join(map(str, USUAL))}", highlight=False)
    raise typer.Exit


HtmlOption = typer.Option(None, "--html", help="Write a page with charts.")
AlertOption = typer.Option(
    False, "--alert", help="Exit with 3 if a device has drifted, or restarted by a fault."
)
RuleOption = typer.Option(
    None, "--rule", help="Alert by this, too, as 'confidence < 0.7'; several times for several."
)
MeasuresOption = typer.Option(
    False, "--measures", callback=list_rules, is_eager=True,
    help="List what rules can be made of, and exit.",
)  # fmt: skip
ALERT_CODE = 3
DeviceArgument = typer.Argument(None, help="Only this device, with its windows.")


def report(
    device: str | None = DeviceArgument,
    html: Path | None = HtmlOption,
    alert: bool = AlertOption,
    rule: list[str] | None = RuleOption,
    measures: bool = MeasuresOption,
    database: str | None = DatabaseOption,
    as_json: bool = JsonOption,
) -> None:
    """What is known of the fleet: a line for each device, with the verdict on drift. With --alert
    or a --rule, exit code 3 tells of alerts.

    \b
    Example: tinyseal observe report
             tinyseal observe report --html fleet.html --alert
             tinyseal observe report --rule 'confidence < 0.7' --rule 'latency_p99 > 0.05'
             tinyseal observe report 000102030405060708090a0b0c0d0e0f --json
    """
    from tinyseal.fleet.alerts import alerts

    rules = rules_of(rule)
    found = find(database, device)
    now = datetime.now(UTC)
    broken = alerts(found, rules, now)
    if html is not None:
        from tinyseal.fleet.watch_page import watch_page
        from tinyseal.package.files import write_file

        write_file(html, watch_page(found, broken, now).encode())
    _print(found, broken, as_json, device is not None)
    if broken and (alert or rule):
        raise typer.Exit(ALERT_CODE)


def _print(found: list[Watched], broken: list[Alert], as_json: bool, with_windows: bool) -> None:
    from tinyseal.fleet.watch import fleet_verdict, window_json

    if as_json:
        devices = [
            {
                **d.to_json(),
                **({"records": [window_json(w) for w in d.windows]} if with_windows else {}),
            }
            for d in found
        ]
        print_json({
            "verdict": fleet_verdict(found),
            "alerts": [a.to_json() for a in broken],
            "devices": devices,
        })  # fmt: skip
        return
    console.print(fleet_table(found))
    print_alerts(broken)


STYLES = {"steady": "green", "drifting": "yellow", "drifted": "bold red", "unknown": "dim"}


def fleet_table(found: list[Watched]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("device", "board", "drift", "windows", "queries", "p50 ms", "p99 ms", "nJ"):
        is_text = name in ("device", "board", "drift")
        is_whole = name in ("device", "drift")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=is_whole)
    for d in found:
        times = (d.latency(50), d.latency(99))
        table.add_row(
            d.id, d.board or "-", f"[{STYLES[d.verdict]}]{d.verdict}[/]", f"{len(d.windows):,}",
            f"{d.queries:,}", *(f"{1000 * t:.3f}" if t is not None else "-" for t in times),
            f"{d.energy_nj:,}" if d.energy_nj is not None else "-",
        )  # fmt: skip
    return table


def print_alerts(broken: list[Alert]) -> None:
    for a in broken:
        errors.print(f"{a.device}: {a.rule}, is {a.value:g}", style="bold red", highlight=False,
                     soft_wrap=True)  # fmt: skip


BoardOption = typer.Option(DEFAULT_BOARD, "--board", "-b", help="A virtual board.")
ModelOption = typer.Option(DEFAULT_MODEL, "--model", "-m", help="A .tflite file.")
ReferenceOption = typer.Option(
    ..., "--reference", help=".npy or .npz of calibration samples, as for scons."
)


def cost(
    reference: Path = ReferenceOption,
    board: str = BoardOption,
    model: Path = ModelOption,
    as_json: bool = JsonOption,
) -> None:
    """Instructions that statistics take of an inference on a virtual board: of each, and of the one
    that closes a window, whose record goes to flash.

    \b
    Example: tinyseal observe cost --reference calibration.npy --board qemu-m4
    """
    from rich.progress import Progress

    from tinyseal.bench.observe_cost import observe_cost
    from tinyseal.build.options import parse
    from tinyseal.fleet.consent import Consent, Level

    words = {"board": board, "model": str(model), "reference": str(reference.absolute())}
    request = parse(words, [], [])
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("", total=None)
        found = observe_cost(
            request,
            lambda device, owner: Consent(device, Level.SAMPLES, 1).sign(owner),
            lambda text: bar.update(task, description=text),
        )
    if as_json:
        print_json(found.to_json())
        return
    for name, value in found.to_json().items():
        shown = f"{value:,}" if isinstance(value, int | float) else value
        console.print(f"{name} {shown}", highlight=False)


app.command("consent")(consent)
app.command("cost")(cost)
app.command("pull")(pull)
app.command("report")(report)
