"""Consoles and JSON, the same for every sub-command. Rich drops colours off a terminal."""

from __future__ import annotations

import json
from typing import Any, Final

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

console: Final = Console()
errors: Final = Console(stderr=True)

JsonOption = typer.Option(False, "--json", help="Print JSON instead of a table.")


def print_json(value: Any) -> None:
    """JSON on stdout, plain, keys as given."""
    typer.echo(json.dumps(value, indent=2))


def print_wide(table: Table) -> None:
    """A table whose figures matter more than its looks: on a narrow terminal its lines go on in
    the next, and nothing is left out."""
    needed = Measurement.get(console, console.options.update(width=1000), table).maximum
    Console(width=max(needed, console.width)).print(table)
