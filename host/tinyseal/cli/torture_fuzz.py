"""`tinyseal torture fuzz`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.progress import Progress

from tinyseal.cli.campaign import conclude
from tinyseal.cli.output import JsonOption, errors
from tinyseal.torture.fuzz import Target
from tinyseal.torture.fuzz import fuzz as run_fuzz


def fuzz(
    count: Annotated[int, typer.Option(min=1, help="Executions.")] = 200_000,
    seed: Annotated[int, typer.Option(min=1, help="Number of the campaign.")] = 1,
    target: Annotated[
        Target,
        typer.Option(
            help="Readers of flash; the application with all it receives; or what the host reads "
            "of devices."
        ),
    ] = Target.READERS,
    as_json: bool = JsonOption,
) -> None:
    """Hostile bytes for what reads images, patches, vouchers, consents and records in flash, or for
    the whole application behind its console and radio, under libFuzzer; or for what the host reads
    and shows of devices: records of statistics, receipts, vouchers as text.

    Example: tinyseal torture fuzz --target smp --count 10000000
    """
    if target is Target.FLEET:
        from tinyseal.fleet.fuzz import fuzz_fleet

        quiet = as_json or not errors.is_terminal
        with Progress(console=errors, transient=True, disable=quiet) as progress:
            task = progress.add_task("reading", total=count)
            result = fuzz_fleet(count, seed, lambda done: progress.update(task, completed=done))
    else:
        result = run_fuzz(count, seed, target)
    details = {"target": target.value, "message": result.message}
    broken = [result.message] if result.failures else []
    conclude("executions", result.count, result.seconds, seed, broken, None, details, as_json)
