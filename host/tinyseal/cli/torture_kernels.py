"""`tinyseal torture kernels`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from tinyseal.build.firmware import AUTO, DEFAULT_BOARD
from tinyseal.cli.campaign import conclude, progress
from tinyseal.cli.output import JsonOption
from tinyseal.plan.choose import kernel_set
from tinyseal.profiles import load_board
from tinyseal.torture.kernels import torture_kernels


def kernels(
    board: Annotated[str, typer.Option(help="A virtual board.")] = DEFAULT_BOARD,
    kernels: Annotated[str, typer.Option(help="The kernel set that runs the layers.")] = AUTO,
    count: Annotated[int, typer.Option(min=1, help="Layers to run with it, at least.")] = 500,
    seed: Annotated[
        int, typer.Option(help="Number of the campaign; same number, same layers.")
    ] = 1,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Processes; as many as cores.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Folder for models of the layers that fail, one each.")
    ] = None,
    as_json: bool = JsonOption,
) -> None:
    """Runs random convolutions and dense layers on a virtual board: every byte the reference's.

    Example: tinyseal torture kernels --board qemu-m4 --kernels tuned --count 20000
    """
    kernel_set(kernels)
    with progress("layers", count, as_json) as report:
        result = torture_kernels(
            load_board(board), kernels, count, seed, report, jobs or os.cpu_count() or 1
        )
    if save is not None and result.models:
        save.mkdir(parents=True, exist_ok=True)
        for name, model in result.models.items():
            (save / f"{name}.tflite").write_bytes(model)
    functions = dict(sorted(result.functions.items()))
    table = Table("kernel", "layers")
    for name, number in functions.items():
        table.add_row(name, str(number))
    details = {
        "board": result.board,
        "kernels": result.kernels,
        "functions": functions,
        "failed": result.failures,
    }
    conclude("layers", result.count, result.seconds, seed, result.failures, table, details, as_json)
