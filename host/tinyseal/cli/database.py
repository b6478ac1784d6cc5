"""The option that names the fleet's database, the same for every sub-command that keeps one."""

from __future__ import annotations

from typing import Final

import typer

DATABASE_VARIABLE: Final = "TINYSEAL_DATABASE"
DatabaseOption = typer.Option(
    None,
    "--database",
    envvar=DATABASE_VARIABLE,
    metavar="URL",
    help="Fleet database, any SQLAlchemy URL. [default: SQLite in your data folder]",
)
