"""What every campaign of `tinyseal torture` has in common: a progress bar, JSON or a table, an exit
code."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import typer
from rich.progress import Progress
from rich.table import Table

from tinyseal.cli.output import console, errors, print_json

SMALL_MODEL: Final = Path("tests/corpus/chain.tflite")  # fits every board

Columns = Mapping[str, Callable[[Any], object]]  # by title, what a run has there


@contextmanager
def progress(what: str, total: int | None, as_json: bool) -> Iterator[Callable[..., None]]:
    """A bar on the terminal; it gives what is told how far the campaign has come, and of how much
    if that was not known."""
    with Progress(console=errors, transient=True, disable=as_json) as bar:
        task = bar.add_task(what, total=total)

        def report(done: int, of: int | None = total) -> None:
            bar.update(task, completed=done, total=of)

        yield report


def table_of(runs: Sequence[Any], columns: Columns) -> Table:
    table = Table(*columns)
    for run in runs:
        table.add_row(*(str(cell(run)) for cell in columns.values()))
    return table


def conclude(
    unit: str,
    count: int,
    seconds: float,
    seed: int,
    broken: Sequence[str],
    table: Table | None,
    details: Mapping[str, Any],
    as_json: bool,
    failures: int | None = None,
) -> None:
    """Tells what became of a campaign: as JSON with its `details`, or as a table; what is `broken`
    on stderr. Exit code 1 if there were failures: as many as broken things, if left out."""
    failures = len(broken) if failures is None else failures
    if as_json:
        head = {"count": count, "failures": failures, "seconds": round(seconds, 1), "seed": seed}
        print_json({**head, **details})
    else:
        if table is not None:
            console.print(table)
        console.print(f"{count} {unit}, {failures} failures, {seconds:.1f} s")
        for line in broken:
            errors.print(line, markup=False, soft_wrap=True)
    if failures:
        raise typer.Exit(1)


def conclude_runs(
    unit: str,
    runs: Sequence[Any],
    columns: Columns,
    seconds: float,
    seed: int,
    as_json: bool,
    broken: Sequence[str] | None = None,
    **totals: int,
) -> None:
    """The same of dataclasses with `count`, `failures` and, unless `broken` is given, `board` and
    `message`."""
    if broken is None:
        broken = [f"{r.board}: {r.message}" for r in runs if r.failures]
    conclude(
        unit,
        sum(r.count for r in runs),
        seconds,
        seed,
        broken,
        table_of(runs, columns),
        {**totals, "runs": [dataclasses.asdict(r) for r in runs]},
        as_json,
        failures=sum(r.failures for r in runs),
    )
