"""What a plan is made for, as commands take it."""

from __future__ import annotations

from typing import Final

import typer

from tinyseal.build.options import parse_ram
from tinyseal.errors import BuildError, UsageError
from tinyseal.plan.goal import Optimise

OptimiseOption: Final = typer.Option(
    Optimise.SPEED, "--optimise", help="What the plan is to have least of."
)
RamOption: Final = typer.Option(None, "--ram", help="Bytes the arena may take, as 49152 or 48k.")


def ram_limit(ram: str | None) -> int | None:
    """What `--ram` says, in bytes. UsageError."""
    try:
        return None if ram is None else parse_ram(ram)
    except BuildError as e:
        raise UsageError(str(e)) from e
