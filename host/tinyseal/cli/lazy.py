"""Commands whose modules are imported when they run: the list of them, and every completion of a
name, come without numpy and the readers of models."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup


class Entry(NamedTuple):
    """Where a command is, and what the list says of it."""

    function: str  # "module:name" in this package; the name of a function or of a Typer
    help: str
    epilog: str | None = None  # the name of a text beside the function


def lazy_group(entries: Mapping[str, Entry]) -> type[TyperGroup]:
    """The class of a `typer.Typer` with these commands, beside those registered with it."""

    class LazyGroup(TyperGroup):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            listed = {n: TyperCommand(n, short_help=entry.help) for n, entry in entries.items()}
            self.commands = {**listed, **self.commands}

        # The types of the base class are of Typer's private copy of click.
        def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
            name, command, rest = super().resolve_command(ctx, args)
            if name is not None and name in entries:
                command = _load(name, entries[name])
            return name, command, rest

    return LazyGroup


def _load(name: str, entry: Entry) -> Any:
    module_name, _, attribute = entry.function.partition(":")
    module = import_module(f"tinyseal.cli.{module_name}")
    found = getattr(module, attribute)
    if isinstance(found, typer.Typer):
        return typer.main.get_group(found)
    alone = typer.Typer(add_completion=False)
    epilog = None if entry.epilog is None else getattr(module, entry.epilog)
    alone.command(name, epilog=epilog)(found)
    return typer.main.get_command(alone)
