"""Consoles and JSON, the same for every sub-command. Rich drops colours off a terminal."""

from __future__ import annotations

import json
from typing import Any, Final

import typer
from rich.console import Console

console: Final = Console()
errors: Final = Console(stderr=True)

JsonOption = typer.Option(False, "--json", help="Print JSON instead of a table.")


def print_json(value: Any) -> None:
    """JSON on stdout, plain, keys as given."""
    typer.echo(json.dumps(value, indent=2))
