"""`tinyseal torture kernels`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from tinyseal.board import load_board
from tinyseal.build.firmware import AUTO, DEFAULT_BOARD
from tinyseal.cli.output import JsonOption, console, errors, print_json
from tinyseal.device.kernels import torture_kernels
from tinyseal.plan.choose import kernel_set


def kernels(
    board: Annotated[str, typer.Option(help="A virtual board.")] = DEFAULT_BOARD,
    kernels: Annotated[str, typer.Option(help="The kernel set that runs the layers.")] = AUTO,
    count: Annotated[int, typer.Option(min=1, help="Layers to run with it, at least.")] = 500,
    seed: Annotated[
        int, typer.Option(help="Number of the campaign; same number, same layers.")
    ] = 1,
    as_json: bool = JsonOption,
) -> None:
    """Runs random convolutions and dense layers on a virtual board: every byte the reference's.

    Example: tinyseal torture kernels --board qemu-m4 --kernels tuned --count 20000
    """
    kernel_set(kernels)
    with Progress(console=errors, transient=True, disable=as_json) as progress:
        task = progress.add_task("layers", total=count)
        result = torture_kernels(
            load_board(board),
            kernels,
            count,
            seed,
            lambda done: progress.update(task, completed=done),
        )
    if as_json:
        print_json(
            {
                "count": result.count,
                "failures": len(result.failures),
                "seconds": result.seconds,
                "board": result.board,
                "kernels": result.kernels,
                "seed": seed,
                "functions": dict(sorted(result.functions.items())),
                "failed": result.failures,
            }
        )
    else:
        table = Table("kernel", "layers")
        for name, number in sorted(result.functions.items()):
            table.add_row(name, str(number))
        console.print(table)
        console.print(
            f"{result.count} layers, {len(result.failures)} failures, {result.seconds} seconds"
        )
        for failure in result.failures:
            console.print(failure, markup=False, soft_wrap=True)
    if result.failures:
        raise typer.Exit(1)
