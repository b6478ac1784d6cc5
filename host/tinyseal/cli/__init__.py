"""The `tinyseal` command. Each sub-command is one module here, registered below."""

from __future__ import annotations

import sys

import typer

from tinyseal import __version__
from tinyseal.cli import (
    bench,
    boards,
    check,
    console,
    convert,
    delta,
    export,
    flash,
    hil,
    hil_run,
    inspect,
    keys,
    merge,
    meter,
    meter_device,
    observe,
    observe_watch,
    ota,
    ota_campaign,
    provision,
    run_boards,
    sign,
    torture,
    torture_faults,
    torture_fuzz,
    torture_kernels,
    torture_kill,
    torture_link,
    torture_meter,
    torture_power,
)
from tinyseal.cli.output import errors
from tinyseal.errors import ToolError

app = typer.Typer(
    name="tinyseal",
    help="Trained networks into sealed, metered, observable firmware for microcontrollers.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
torture.app.command("power")(torture_power.power)
torture.app.command("fuzz")(torture_fuzz.fuzz)
torture.app.command("faults")(torture_faults.faults)
torture.app.command("kill")(torture_kill.kill)
torture.app.command("link")(torture_link.link)
torture.app.command("meter")(torture_meter.meter)
torture.app.command("kernels")(torture_kernels.kernels)
app.add_typer(torture.app, name="torture")
hil.app.command("run")(hil_run.run)
app.add_typer(hil.app, name="hil")
meter.app.command("status")(meter_device.status)
meter.app.command("redeem")(meter_device.redeem)
meter.app.command("sync")(meter_device.sync)
app.add_typer(meter.app, name="meter")
observe.app.command("watch")(observe_watch.watch)
observe.app.command("serve")(observe_watch.serve)
observe.app.command("export")(observe_watch.export)
app.add_typer(observe.app, name="observe")


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    if version:
        typer.echo(f"tinyseal {__version__}")
        raise typer.Exit


app.command("check")(check.check)
app.command("boards")(boards.boards)
app.command("bench", epilog=bench.EXAMPLES)(bench.command)
app.command("convert")(convert.convert)
app.command("console")(console.console)
app.command("run")(run_boards.run)
app.add_typer(keys.app, name="keys")
app.command("sign")(sign.sign)
app.command("inspect")(inspect.inspect)
app.command("delta")(delta.delta)
app.command("flash", epilog=flash.EXAMPLES)(flash.flash)
app.add_typer(export.app, name="export")
app.command("provision")(provision.provision)
app.command("merge")(merge.merge)
ota.app.command("campaign", epilog=ota_campaign.EXIT_CODES)(ota_campaign.campaign)
ota.app.command("report")(ota_campaign.report)
app.add_typer(ota.app, name="ota")


def main() -> None:
    """Runs the command line; expected failures are one line on stderr and their exit code."""
    try:
        app()
    except ToolError as e:
        errors.print("[bold red]error:[/]", end=" ")
        errors.print(str(e), markup=False, highlight=False, soft_wrap=True)
        sys.exit(e.exit_code)
