"""`tinyseal hil run`: several boards tested at a time."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from tinyseal.cli.hil import Place, places
from tinyseal.cli.output import JsonOption, console, errors, print_json
from tinyseal.device.hil import Job, Outcome, run_jobs
from tinyseal.device.rigs import BENCH
from tinyseal.errors import UsageError


def run(
    names: Annotated[
        list[str] | None, typer.Argument(help="Rigs and virtual boards; all rigs if none.")
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Boards at a time.")
    ] = os.cpu_count() or 1,
    model: Annotated[Path | None, typer.Option(help="This one; else all that fit.")] = None,
    as_json: bool = JsonOption,
) -> None:
    """Pass the tests of hil/ on several boards at a time; a JUnit report each. Exit code 0 if all
    that are present pass.

    Example: tinyseal hil run -j 4 nucleo_f446 qemu-m4 qemu-m33
    """
    wanted = _chosen(names, places(BENCH))
    words = [f"model={model}"] if model else []
    todo = [Job(p.name, p.board, p.name if p.kind == "real" else None) for p in wanted if p.present]
    with Progress(console=errors, transient=True, disable=as_json) as progress:
        task = progress.add_task("testing boards", total=len(todo))
        outcomes = run_jobs(todo, jobs, words, lambda outcome: progress.advance(task))
    absent = [p for p in wanted if not p.present]
    if as_json:
        print_json(
            {
                "boards": [dataclasses.asdict(o) | {"passes": o.is_good} for o in outcomes],
                "absent": [{"name": p.name, "why": p.where} for p in absent],
            }
        )
    else:
        console.print(_table(outcomes, absent))
    if not all(o.is_good for o in outcomes) or not outcomes:
        raise typer.Exit(1)


def _chosen(names: list[str] | None, known: list[Place]) -> list[Place]:
    by_name = {p.name: p for p in known}
    unknown = [name for name in names or [] if name not in by_name]
    if unknown:
        raise UsageError(f"no rig or virtual board {unknown[0]!r}; known: {', '.join(by_name)}")
    chosen = [by_name[name] for name in dict.fromkeys(names or [])]
    chosen = chosen or [p for p in known if p.kind == "real"]
    if not chosen:
        raise UsageError("hil/bench.toml has no rigs; name virtual boards: tinyseal hil list")
    return chosen


def _table(outcomes: list[Outcome], absent: list[Place]) -> Table:
    table = Table("name", "board", "result", "passed", "failed", "skipped", "seconds", "report")
    for o in outcomes:
        result = "[green]passes[/]" if o.is_good else f"[red]{o.error or 'fails'}[/]"
        counts = [str(n) for n in (o.passed, o.failed, o.skipped, o.seconds)]
        table.add_row(o.name, o.board, result, *counts, o.report)
    for p in absent:
        table.add_row(p.name, p.board, f"absent: {p.where}", "", "", "", "", "")
    return table
