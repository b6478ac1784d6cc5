"""The option that names the fleet's database, the same for every sub-command that keeps one."""

from __future__ import annotations

import typer

DatabaseOption = typer.Option(
    None,
    "--database",
    envvar="TINYSEAL_DATABASE",
    metavar="URL",
    help="Fleet database, any SQLAlchemy URL. [default: SQLite in your data folder]",
)
