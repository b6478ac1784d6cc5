"""`scons tune`: the kernels of each layer by measurement, into a file that builds obey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.table import Table

from tinyseal.bench.tune import Costs, Measure, measure_of, timed_over, tune
from tinyseal.build.firmware import ROOT, Request
from tinyseal.build.tuning import compiler_of, default_file, merged, read_file, write_file
from tinyseal.cli import ota
from tinyseal.cli.hil import fitting
from tinyseal.cli.output import console, errors, print_wide
from tinyseal.errors import BoardError, BuildError
from tinyseal.plan.model import Plan
from tinyseal.plan.tuning import Unit


def run(request: Request) -> int:
    """Measures on the virtual board, or on the real one at port= or rig=."""
    board = request.board
    models = [request.model] if "model" in request.words else fitting(board, request.kernels)
    if not models:
        raise BuildError(f"no model of models/ fits {board.name}; say which: model=PATH")
    measure, unit = _measure(request)
    with errors.status("") as status:
        costs = tune([replace(request, model=m) for m in models], measure, unit, status.update)
    for reason in costs.left_out:
        errors.print(f"left out: {reason}", markup=False, highlight=False, soft_wrap=True)
    if not costs.shapes:
        raise BuildError(
            f"{board.name}: nothing was measured; every layer has one kernel, or none fits"
        )
    path = request.tuning or default_file(board)
    before = read_file(ROOT / path, board) if (ROOT / path).is_file() else None
    write_file(ROOT / path, merged(before, board, costs.tuning(), compiler_of(board)))
    print_wide(_table(costs))
    console.print(f"{len(costs.shapes)} layer shapes into {path}", highlight=False)
    return 0


def _measure(request: Request) -> tuple[Measure, Unit]:
    words = request.words
    if "rig" in words:
        raise BoardError("tune goes over a serial port: say which, port=")
    if "port" not in words:
        if request.board.runner is None:
            raise BoardError(f"{request.board.name} is a real board; say where it is: port=")
        return measure_of(request.board)
    on_board = timed_over(words["port"])

    def updated(trial: Request, plan: Plan) -> Sequence[int]:
        ota.target(trial)
        return on_board(trial, plan)

    return updated, "cycles"


def _table(costs: Costs) -> Table:
    table = Table("layer", "kernel")
    table.add_column(costs.unit, justify="right")
    table.add_column("others")
    for shape, measured in costs.tuning().layers.items():
        labels = costs.labels[shape]
        more = f" and {len(labels) - 1} more" if len(labels) > 1 else ""
        others = sorted(
            (cost, name) for name, cost in measured.costs.items() if name != measured.choice
        )
        table.add_row(
            labels[0] + more,
            measured.choice,
            f"{measured.costs[measured.choice]:,}",
            ", ".join(f"{name} {cost:,}" for cost, name in others),
        )
    return table
