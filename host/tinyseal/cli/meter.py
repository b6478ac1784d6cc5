"""`tinyseal meter`: prepaid queries, from the price to the report."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.progress import Progress
from rich.table import Table

from tinyseal.build.firmware import DEFAULT_BOARD, DEFAULT_MODEL
from tinyseal.cli.database import DatabaseOption
from tinyseal.cli.keys import PassphraseEnvOption, PassphraseFileOption, passphrase_source
from tinyseal.cli.lazy import Entry, lazy_group
from tinyseal.cli.output import JsonOption, console, errors, print_json
from tinyseal.errors import UsageError

if TYPE_CHECKING:
    from tinyseal.fleet.ledger import Ledger
    from tinyseal.fleet.reconcile import Balance, Reconciled

app = typer.Typer(
    cls=lazy_group(
        {
            "status": Entry("meter_device:status", "What a device has left."),
            "redeem": Entry("meter_device:redeem", "Redeem a voucher on a device."),
            "sync": Entry("meter_device:sync", "Fetch and judge a device's receipts."),
        }
    ),
    help="Prepaid queries: vouchers, receipts, and whether they agree.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

MAX_FINDINGS: Final = 50  # in a table
DeviceOption = typer.Option(..., "--device", help="Device id, 32 hexadecimal digits.")
ModelOption = typer.Option(
    None, "--model", "-m", help="Model file, or its id of 64 hexadecimal digits."
)
KeyOption = typer.Option(..., "--key", "-k", help="The vendor's Ed25519 key, PEM.")
QrOption = typer.Option(None, "--qr", help="Also write a QR code: .svg or .png.")
OutOption = typer.Option(None, "--out", "-o", help="Also write its bytes.")
CsvOption = typer.Option(
    None, "--csv", help="Write a row for each device and model; - for standard output."
)
HtmlOption = typer.Option(None, "--html", help="Write a page.")
ServeKeyOption = typer.Option(None, "--key", "-k", help="The vendor's key, to sell vouchers.")
CostModelOption = typer.Option(DEFAULT_MODEL, "--model", "-m", help="A .tflite file.")
FamilyOption = typer.Option(None, "--family", help="Family of models, in place of --model.")


def subject_of(model: str | None, family: str | None) -> tuple[bytes, str]:
    """What is paid for: the id, and a name to show."""
    from tinyseal.codegen.generate import family_id

    if (model is None) == (family is None):
        raise UsageError("give --model or --family, one of them")
    if family is not None:
        return family_id(family), family
    assert model is not None
    path = Path(model)
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).digest(), path.stem
    if len(model) != 64:
        raise UsageError(f"{model}: no such file, and no model id of 64 hexadecimal digits")
    return hex_bytes(model, "--model"), ""


def hex_bytes(text: str, what: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise UsageError(f"{what} {text!r}: expected hexadecimal digits") from None


def open_ledger(database: str | None) -> Ledger:
    from tinyseal.fleet.database import open_database
    from tinyseal.fleet.ledger import Ledger

    return Ledger(open_database(database))


@app.command()
def enroll(
    device: str = DeviceOption,
    public_key: str = typer.Option(
        ..., "--public-key", help="PEM file, or 64 hexadecimal digits, as tinyseal provision tells."
    ),
    name: str = typer.Option("", "--name", help="A name to show."),
    database: str | None = DatabaseOption,
    as_json: bool = JsonOption,
) -> None:
    """Make a device known, by the key that its receipts are verified with.

    \b
    Example: tinyseal meter enroll --device 000102030405060708090a0b0c0d0e0f --public-key dev.pem
    """
    from tinyseal.package.keys import Use, load_key

    path = Path(public_key)
    raw = load_key(path, Use.SIGN).raw if path.is_file() else hex_bytes(public_key, "--public-key")
    is_new = open_ledger(database).enroll(hex_bytes(device, "--device"), raw, name)
    if as_json:
        print_json({"device": device, "public_key": raw.hex(), "is_new": is_new})
    else:
        console.print(f"{device} {'is known now' if is_new else 'was known'}", highlight=False)


@app.command()
def price(
    amount: str = typer.Argument(..., help="Of one query, as 0.002."),
    model: str | None = ModelOption,
    family: str | None = FamilyOption,
    currency: str = typer.Option("EUR", "--currency", help="Three capitals."),
    database: str | None = DatabaseOption,
) -> None:
    """Set what a query costs. Vouchers issued from now on are charged by it.

    \b
    Example: tinyseal meter price 0.002 --model models/kws_int8.tflite
    """
    from tinyseal.fleet.ledger import micros, money

    subject, name = subject_of(model, family)
    open_ledger(database).set_price(subject, micros(amount), currency, name)
    console.print(f"{name or subject.hex()} {money(micros(amount), currency)}", highlight=False)


@app.command()
def issue(
    device: str = DeviceOption,
    quantity: int = typer.Option(..., "--quantity", "-n", min=1, help="Queries."),
    key: Path = KeyOption,
    model: str | None = ModelOption,
    family: str | None = FamilyOption,
    not_after: int | None = typer.Option(
        None, "--not-after", min=0, help="The device's count up to which it can be redeemed."
    ),
    qr: Path | None = QrOption,
    out: Path | None = OutOption,
    database: str | None = DatabaseOption,
    passphrase_file: Path | None = PassphraseFileOption,
    passphrase_env: str | None = PassphraseEnvOption,
    as_json: bool = JsonOption,
) -> None:
    """Sign a voucher, enter it in the ledger, and print it.

    \b
    Example: tinyseal meter issue --device 0001...0e0f --model kws.tflite -n 1000 --key vendor.pem
    """
    from tinyseal.fleet.ledger import money
    from tinyseal.package.files import write_file
    from tinyseal.package.keys import Use, load_private

    if qr is not None and qr.suffix.lower() not in (".svg", ".png"):
        raise UsageError(f"{qr}: the QR code is a .svg or a .png; give it that suffix")
    subject, name = subject_of(model, family)
    vendor = load_private(key, Use.SIGN, passphrase_source(passphrase_file, passphrase_env))
    issued = open_ledger(database).issue(
        hex_bytes(device, "--device"), subject, quantity, vendor, not_after, name
    )
    if qr is not None:
        import segno

        segno.make(issued.text, error="m", micro=False).save(str(qr), scale=6)
    if out is not None:
        write_file(out, issued.data)
    if as_json:
        print_json(
            {
                "device": device,
                "subject": subject.hex(),
                "serial": issued.voucher.serial,
                "quantity": quantity,
                "not_after": not_after,
                "price": money(issued.price, issued.currency),
                "voucher": issued.data.hex(),
                "text": issued.text,
            }
        )
        return
    groups = issued.text.split("-")
    for start in range(0, len(groups), 5):  # as people type it
        console.print(" ".join(groups[start : start + 5]), highlight=False)
    errors.print(
        f"voucher {issued.voucher.serial}: {quantity:,} queries, "
        f"{money(issued.price, issued.currency)}",
        highlight=False,
    )
    if vendor.is_development:
        errors.print("signed with the development key, which anybody has", style="yellow")


@app.command()
def reconcile(database: str | None = DatabaseOption, as_json: bool = JsonOption) -> None:
    """Hold receipts and vouchers against each other: replays, clones, old flash, gaps. Exit code 1
    if there are any.

    \b
    Example: tinyseal meter reconcile --json
    """
    result = _reconciled(database, as_json, lambda balance: None)
    if as_json:
        print_json(_as_json(result))
    else:
        _print_findings(result)
        console.print(
            f"{result.devices:,} devices, {result.receipts:,} receipts, "
            f"{result.vouchers:,} vouchers: {len(result.findings):,} findings",
            highlight=False,
        )
    if result.findings:
        raise typer.Exit(1)


@app.command()
def report(
    csv_file: Path | None = CsvOption,
    html: Path | None = HtmlOption,
    database: str | None = DatabaseOption,
    as_json: bool = JsonOption,
) -> None:
    """What was sold, redeemed and used, by model; by device with --csv.

    \b
    Examples:
      tinyseal meter report
      tinyseal meter report --csv balances.csv --html report.html
    """
    from contextlib import ExitStack

    from tinyseal.fleet.meter_report import Page

    page = Page()
    with ExitStack() as stack:
        write = None
        if csv_file is not None:
            try:
                file = (
                    sys.stdout
                    if str(csv_file) == "-"
                    else stack.enter_context(csv_file.open("w", newline="", encoding="utf-8"))
                )
            except OSError as e:
                raise UsageError(f"{csv_file}: {e.strerror}") from e
            write = csv.writer(file, lineterminator="\n")
            write.writerow(["device", "subject", "issued", "price_micros", "credited", "spent"])

        def take(balance: Balance) -> None:
            page.take(balance)
            if write is not None:
                write.writerow(dataclasses.astuple(balance))

        result = _reconciled(database, as_json or str(csv_file) == "-", take)
    if html is not None:
        from tinyseal.package.files import write_file

        write_file(html, page.render(result).encode())
    if as_json:
        print_json(_as_json(result))
    elif str(csv_file) != "-":
        _print_totals(result)


def _reconciled(database: str | None, quiet: bool, take: Any) -> Reconciled:
    from tinyseal.fleet.reconcile import reconcile as run

    engine = open_ledger(database).engine
    with Progress(console=errors, transient=True, disable=quiet) as progress:
        task = progress.add_task("reading receipts", total=None)
        return run(engine, take, lambda done: progress.update(task, completed=done))


def _as_json(result: Reconciled) -> dict[str, Any]:
    return {
        "devices": result.devices,
        "receipts": result.receipts,
        "vouchers": result.vouchers,
        "totals": {s: dataclasses.asdict(t) for s, t in sorted(result.totals.items())},
        "kinds": {str(k): n for k, n in sorted(result.kinds.items())},
        "findings": [dataclasses.asdict(f) for f in result.findings],
    }


def _print_findings(result: Reconciled) -> None:
    table = Table("device", "finding", "receipt", "what")
    for f in result.findings[:MAX_FINDINGS]:
        table.add_row(f.device, str(f.kind), str(f.sequence or "-"), f.text)
    if result.findings:
        console.print(table)
    if len(result.findings) > MAX_FINDINGS:
        more = len(result.findings) - MAX_FINDINGS
        console.print(f"and {more:,} more; --json has all of them", highlight=False)


def _print_totals(result: Reconciled) -> None:
    from tinyseal.fleet.ledger import money

    table = Table("model or family")
    for column in ("devices", "vouchers", "sold", "redeemed", "used", "left", "price"):
        table.add_column(column, justify="right")
    for subject, t in sorted(result.totals.items()):
        numbers = (t.devices, t.vouchers, t.issued, t.credited, t.spent, t.credited - t.spent)
        table.add_row(
            t.name or subject[:16], *(f"{n:,}" for n in numbers), money(t.price, t.currency or "-")
        )
    console.print(table)
    if result.findings:
        errors.print(
            f"{len(result.findings):,} findings; tinyseal meter reconcile tells", style="yellow"
        )


@app.command()
def bench(
    devices: int = typer.Option(1000, "--devices", min=1, help="Devices."),
    receipts: int = typer.Option(100_000, "--receipts", min=1, help="Receipts, of all together."),
    database: str | None = typer.Option(
        None, "--database", help="Empty database to fill. [default: SQLite in a scratch folder]"
    ),
    as_json: bool = JsonOption,
) -> None:
    """Fill a ledger, faults included, and measure how it is reconciled. Exit code 1 if a fault is
    not found, or one is found that is not there.

    \b
    Example: tinyseal meter bench --devices 100000 --receipts 10000000
    """
    import tempfile

    from tinyseal.fleet.ledger_bench import bench as run

    with tempfile.TemporaryDirectory(prefix="tinyseal-ledger-") as folder:
        engine = open_ledger(database or f"sqlite:///{folder}/ledger.db").engine
        with Progress(console=errors, transient=True, disable=as_json) as progress:
            tasks = {
                name: progress.add_task(name, total=receipts) for name in ("filling", "reconciling")
            }
            result = run(
                engine, devices, receipts, lambda name, n: progress.update(tasks[name], completed=n)
            )
        engine.dispose()
    facts = dataclasses.asdict(result)
    if as_json:
        print_json(facts)
    else:
        table = Table(show_header=False)
        for name, value in facts.items():
            shown = f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
            table.add_row(name.replace("_", " "), shown)
        console.print(table)
    if result.found < result.faults or result.false_alarms:
        raise typer.Exit(1)


@app.command()
def cost(
    board: str = typer.Option(DEFAULT_BOARD, "--board", "-b", help="A virtual board, of QEMU's."),
    model: Path = CostModelOption,
    as_json: bool = JsonOption,
) -> None:
    """Count what metering takes on a virtual board: a query, a voucher, a receipt, flash and RAM.

    \b
    Example: tinyseal meter cost --board qemu-m4 --json
    """
    from tinyseal.bench.meter_cost import meter_cost
    from tinyseal.build.options import parse
    from tinyseal.fleet.vouchers import Voucher
    from tinyseal.package.keys import DEV_SIGN, Use, load_private

    parse({"board": board, "policy": "metered"}, [], [])  # refuses boards that have none of it
    request = parse({"board": board, "model": str(model)}, [], [])
    vendor = load_private(DEV_SIGN, Use.SIGN)
    with errors.status("") as shown:
        result = meter_cost(
            request,
            vendor,
            lambda device, subject, n: Voucher(device, subject, 1, n).sign(vendor),
            lambda step: shown.update(step),
        )
    if as_json:
        print_json(result.to_json())
        return
    table = Table("instructions", "", title=f"{result.model} on {result.board}")
    for name, value in (
        ("a query", f"{result.charge:,}"),
        (f"one in {result.charges_per_opening:,}", f"{result.opening:,}"),
        ("on average", f"{result.amortised:,.0f}"),
        ("of the inference", f"{result.percent:.4f} %"),
        ("a voucher", f"{result.redeem:,}"),
        ("a receipt", f"{result.receipt:,}"),
        *((f"flash: {part}", f"{size:,} B") for part, size in result.flash_bytes.items()),
        ("RAM besides the counter", f"{result.ram_bytes} B"),
    ):
        table.add_row(name, value)
    console.print(table)


@app.command("key")
def api_key(
    name: str = typer.Argument(..., help="Whose key it is."),
    revoke: bool = typer.Option(False, "--revoke", help="Take the key back."),
    database: str | None = DatabaseOption,
) -> None:
    """Make an API key for `tinyseal meter serve`, and print it: it is not kept anywhere.

    \b
    Example: tinyseal meter key webshop
    """
    try:
        from tinyseal.fleet.meter_api import make_api_key, revoke_api_key
    except ImportError as e:
        raise UsageError(f"{e.name} is missing; ./setup serve installs it") from e
    engine = open_ledger(database).engine
    if revoke:
        revoke_api_key(engine, name)
        console.print(f"{name}: revoked", markup=False, highlight=False)
    else:
        typer.echo(make_api_key(engine, name))


@app.command()
def serve(
    host: str = typer.Option("127.0.0.1", "--host", help="Address to listen at."),
    port: int = typer.Option(8765, "--port", min=0, max=65535, help="TCP port."),
    key: Path | None = ServeKeyOption,
    rate: float = typer.Option(50.0, "--rate", min=0.1, help="Calls a second, of each API key."),
    burst: int = typer.Option(100, "--burst", min=1, help="Calls at once, of each API key."),
    database: str | None = DatabaseOption,
    passphrase_file: Path | None = PassphraseFileOption,
    passphrase_env: str | None = PassphraseEnvOption,
) -> None:
    """Serve the ledger over HTTP, for an operator's backend; /docs describes it.

    \b
    Example: tinyseal meter serve --key vendor.pem --port 8765
    """
    from tinyseal.package.keys import Use, load_private

    try:
        import uvicorn

        from tinyseal.fleet.meter_api import make_app
    except ImportError as e:
        raise UsageError(f"{e.name} is missing; ./setup serve installs it") from e
    ask = passphrase_source(passphrase_file, passphrase_env)
    vendor = load_private(key, Use.SIGN, ask) if key is not None else None
    engine = open_ledger(database).engine
    if key is None:
        errors.print("without --key, no vouchers are sold", style="yellow")
    uvicorn.run(make_app(engine, vendor, rate, burst), host=host, port=port, log_level="info")
