"""The `tinyseal` command. Each sub-command is one module here, listed below."""

from __future__ import annotations

import sys
from typing import Final

import typer

from tinyseal import __version__
from tinyseal.cli.lazy import Entry, lazy_group
from tinyseal.cli.output import errors
from tinyseal.errors import ToolError

COMMANDS: Final = {
    "check": Entry("check:check", "Whether a model runs on a board."),
    "boards": Entry("boards:boards", "The boards, or one with its memory map."),
    "bench": Entry(
        "bench:command", "Instructions, memory and exactness of each kernel set.", "EXAMPLES"
    ),
    "convert": Entry("convert:convert", "Quantise a Keras model, binary layers included."),
    "export": Entry("export:app", "A model as source for other people's builds."),
    "keys": Entry("keys:app", "Keys that sign and encrypt images."),
    "sign": Entry("sign:sign", "Sign a binary for a slot of a board."),
    "inspect": Entry("inspect:inspect", "Every field of an image, and what of it is proven."),
    "delta": Entry("delta:delta", "A patch from one signed image to another."),
    "merge": Entry("merge:merge", "One file with everything a board needs."),
    "provision": Entry("provision:provision", "A board's identity, keys and counters."),
    "flash": Entry("flash:flash", "Write a firmware to a board.", "EXAMPLES"),
    "run": Entry("run_boards:run", "Virtual boards, until Ctrl-C."),
    "console": Entry("console:console", "Talk to a board, a command a line."),
    "ota": Entry("ota:app", "Update devices over serial and BLE, one or a fleet."),
    "meter": Entry("meter:app", "Prepaid queries: vouchers, receipts, whether they agree."),
    "observe": Entry("observe:app", "Models in the field: drift, latency, memory, energy."),
    "hil": Entry("hil:app", "Boards under test: the rigs, and the tests on them."),
    "torture": Entry("torture:app", "Cuts, faults and damaged inputs by the thousand."),
}

app = typer.Typer(
    cls=lazy_group(COMMANDS),
    name="tinyseal",
    help="Trained networks into sealed, metered, observable firmware for microcontrollers.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    if version:
        typer.echo(f"tinyseal {__version__}")
        raise typer.Exit


def main() -> None:
    """Runs the command line; expected failures are one line on stderr and their exit code."""
    try:
        app()
    except ToolError as e:
        errors.print("[bold red]error:[/]", end=" ")
        errors.print(str(e), markup=False, highlight=False, soft_wrap=True)
        sys.exit(e.exit_code)
