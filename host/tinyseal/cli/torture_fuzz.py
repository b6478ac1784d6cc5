"""`tinyseal torture fuzz`."""

from __future__ import annotations

from typing import Annotated

import typer

from tinyseal.cli.campaign import conclude
from tinyseal.cli.output import JsonOption
from tinyseal.device.fuzz import Target
from tinyseal.device.fuzz import fuzz as run_fuzz


def fuzz(
    count: Annotated[int, typer.Option(min=1, help="Executions.")] = 200_000,
    seed: Annotated[int, typer.Option(min=1, help="Number of the campaign.")] = 1,
    target: Annotated[
        Target, typer.Option(help="Readers of flash, or the application with all it receives.")
    ] = Target.READERS,
    as_json: bool = JsonOption,
) -> None:
    """Hostile bytes for what reads images, patches and provisioning's records, or for the whole
    application behind its console and radio, under libFuzzer.

    Example: tinyseal torture fuzz --target smp --count 10000000
    """
    result = run_fuzz(count, seed, target)
    details = {"target": target.value, "message": result.message}
    broken = [result.message] if result.failures else []
    conclude("executions", result.count, result.seconds, seed, broken, None, details, as_json)
