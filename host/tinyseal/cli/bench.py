"""`tinyseal bench`: instructions, memory and exactness of each kernel set, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import typer
from rich.box import SIMPLE
from rich.table import Table

from tinyseal.bench.boot_cost import boot_cost
from tinyseal.bench.inference import Row, bench, ratios
from tinyseal.board import Board
from tinyseal.build.firmware import AUTO, DEFAULT_BOARD, DEFAULT_MODEL, Request
from tinyseal.build.options import parse
from tinyseal.cli.bench_plot import draw, require_plots
from tinyseal.cli.goal import OptimiseOption, RamOption
from tinyseal.cli.output import JsonOption, console, errors, print_json, print_wide
from tinyseal.errors import BuildError, PlanError, ToolError
from tinyseal.plan.goal import Optimise
from tinyseal.plan.kernels import KERNELS, KernelSet

BASE: Final = KernelSet.CMSIS_NN.value  # what the ratios are to
EXAMPLES: Final = """Examples:

tinyseal bench --board qemu-m4 --model models/kws_int8.tflite --plot kws.svg

tinyseal bench --board qemu-m4 --board qemu-rv32 --kernels tuned --json

tinyseal bench --model my.tflite --boot"""

BoardOption = typer.Option(
    [DEFAULT_BOARD], "--board", help="A virtual board; may be given several times."
)
ModelOption = typer.Option(
    [DEFAULT_MODEL], "--model", help="A .tflite file; may be given several times."
)
KernelsOption = typer.Option(
    [], "--kernels", help="A kernel set; may be given several times. All that apply if not."
)
CmsisNnOption = typer.Option(None, "--cmsis-nn", help="A checkout of CMSIS-NN.")
LinkOption = typer.Option(
    False, "--link", help="Upload the capsule over serial and BLE, and count the bytes."
)
BootOption = typer.Option(
    False, "--boot", help="Instructions from reset to the application's first, instead."
)
MarkdownOption = typer.Option(
    False, "--markdown", help="Print a row a kernel set, as in README.md, and no layers."
)
PlotOption = typer.Option(
    None, "--plot", help="Draw the layers against the floor into this file: .png or .svg."
)


def command(
    board: list[str] = BoardOption,
    model: list[Path] = ModelOption,
    kernels: list[str] = KernelsOption,
    optimise: Optimise = OptimiseOption,
    ram: str | None = RamOption,
    cmsis_nn: Path | None = CmsisNnOption,
    plot: Path | None = PlotOption,
    link: bool = LinkOption,
    boot: bool = BootOption,
    markdown: bool = MarkdownOption,
    as_json: bool = JsonOption,
) -> None:
    """Instructions of one inference on virtual boards, by kernel set, whole and layer by layer,
    with memory, bit-exactness and the distance to the core's floor; or, with --link, what the
    model's update costs on the line; or, with --boot, what verified boot costs."""
    pairs = [(b, m) for b in board for m in model]
    words = {"optimise": optimise.value}
    words |= {"ram": ram} if ram else {}
    words |= {"cmsis_nn": str(cmsis_nn)} if cmsis_nn else {}
    if boot or link:
        show = _show_boot if boot else _link
        show([parse({"board": b, "model": str(m)}, [], []) for b, m in pairs], as_json)
        return
    if plot is not None:
        require_plots(plot)
    groups: list[list[Row]] = []
    misfits: list[ToolError] = []
    for b, m in pairs:
        named = {"board": b, "model": str(m), **words}
        sets = kernels or default_sets(parse(named, [], []).board)
        requests = [parse({**named, "kernels": name}, [], []) for name in sets]
        try:
            groups.append(_measure(requests, choosy=bool(kernels)))
        except (PlanError, BuildError) as e:
            if len(pairs) == 1:
                raise
            misfits.append(e)
            _left_out(e)
    if not groups:
        raise misfits[0]
    if as_json:
        print_json(
            [
                {**row.to_json(), "ratio": ratio}
                for rows in groups
                for row, ratio in zip(rows, ratios(rows, BASE), strict=True)
            ]
        )
    elif markdown:
        typer.echo(_markdown([row for rows in groups for row in rows]))
    else:
        for rows in groups:
            _show(rows)
    if plot is not None:
        draw(groups, plot)
    if not all(row.bit_exact for rows in groups for row in rows):
        raise typer.Exit(1)


def _show_boot(requests: Sequence[Request], as_json: bool) -> None:
    with errors.status("") as status:
        costs = [boot_cost(request, status.update) for request in requests]
    if as_json:
        print_json([cost.to_json() for cost in costs])
        return
    table = Table(title="boot", box=SIMPLE, pad_edge=False)
    table.add_column("board", no_wrap=True)
    table.add_column("model", no_wrap=True)
    for name in (
        "app", "of slot", "capsule", "of slot",
        "first start", "each later", "a signature", "est. s",
    ):  # fmt: skip
        table.add_column(name, justify="right", no_wrap=True)
    for cost in costs:
        counts = (
            cost.app_bytes,
            cost.app_slot_bytes,
            cost.capsule_bytes,
            cost.capsule_slot_bytes,
            cost.first,
            cost.after,
            cost.signature,
        )
        table.add_row(cost.board, cost.model, *(f"{n:,}" for n in counts), f"{cost.seconds:.2f}")
    console.print(table)
    console.print("[dim]bytes; instructions from reset to the application's first[/]")


def target(request: Request) -> int:
    """`scons bench`: all sets that apply, or the one asked for."""
    sets = default_sets(request.board) if request.kernels == AUTO else [request.kernels]
    rows = _measure(
        [replace(request, kernels=name) for name in sets],
        choosy=len(sets) == 1,
    )
    _show(rows)
    return 0 if all(row.bit_exact for row in rows) else 1


def default_sets(board: Board) -> list[str]:
    """Kernel sets that have kernels on `board`, then what `auto` makes of them."""
    there = {k.set for k in KERNELS}
    applies = [s for s in KernelSet if s in there and (s.value != BASE or board.core.is_arm)]
    return [*(s.value for s in applies), AUTO]


def _measure(requests: Sequence[Request], choosy: bool) -> list[Row]:
    """A row a request. `choosy`: what one of them asks for must be had; otherwise a set whose
    firmware does not fit the board is told of and left out, as long as another fits."""
    rows: list[Row] = []
    misfits: list[ToolError] = []
    with errors.status("") as status:
        for number, request in enumerate(requests, 1):
            where = f"{request.board.name} {request.model.stem} {request.kernels}"
            prefix = f"[{number} of {len(requests)}] {where}: ".replace("[", r"\[")

            def tell(step: str, prefix: str = prefix) -> None:
                status.update(prefix + step)

            try:
                rows.append(bench(request, tell))
            except (PlanError, BuildError) as e:
                if choosy:
                    raise
                misfits.append(e)
    if not rows:
        raise misfits[0]
    for misfit in misfits:
        _left_out(misfit)
    return rows


def _left_out(misfit: ToolError) -> None:
    errors.print(f"left out: {misfit}", markup=False, highlight=False, soft_wrap=True)


def _show(rows: Sequence[Row]) -> None:
    table = Table(title=f"{rows[0].model} on {rows[0].board}", box=SIMPLE, pad_edge=False)
    table.add_column("kernels", no_wrap=True)
    for name in (
        "instructions", "ratio", "/MAC", "x floor", "est. cycles", "code", "weights",
        "arena", "RAM", "exact",
    ):  # fmt: skip
        table.add_column(name, justify="right", no_wrap=True)
    for row, ratio in zip(rows, ratios(rows, BASE), strict=True):
        table.add_row(
            row.kernels,
            f"{row.instructions:,}",
            _or_dot(ratio, 3),
            _or_dot(row.instructions_per_mac),
            _or_dot(row.distance),
            "·" if row.cycles is None else f"{row.cycles:,.0f}",
            f"{row.flash_code:,}",
            f"{row.flash_weights:,}",
            f"{row.ram_arena:,}",
            f"{row.ram_static:,}",
            "yes" if row.bit_exact else "[bold red]NO[/]",
        )
    print_wide(table)
    console.print(
        f"[dim]ratio: instructions to those of {BASE}; x floor: to the fewest that plan/floor.py "
        "knows; code and weights of the model in flash, arena and RAM besides it, in bytes[/]"
    )
    print_wide(_layer_table(rows))


def _layer_table(rows: Sequence[Row]) -> Table:
    """Every set runs the same layers: one line each, and what each set takes for it."""
    table = Table("layer", box=SIMPLE, pad_edge=False)
    table.add_column("MACs", justify="right")
    table.add_column("floor", justify="right")
    for row in rows:
        table.add_column(row.kernels, justify="right")
        table.add_column("/MAC", justify="right")
        table.add_column("x floor", justify="right")
    table.add_column(f"kernel of {rows[-1].kernels}")
    for at in zip(*(row.layers for row in rows), strict=True):
        least = at[0].floor
        cells = [at[0].name, f"{at[0].macs:,}", "·" if least is None else f"{least:,.0f}"]
        for layer in at:
            cells += [
                f"{layer.instructions:,}",
                _or_dot(layer.instructions_per_mac),
                _or_dot(layer.distance),
            ]
        table.add_row(*cells, at[-1].function)
    return table


def _or_dot(value: float | None, digits: int = 2) -> str:
    return "·" if value is None else f"{value:.{digits}f}"


def _markdown(rows: Sequence[Row]) -> str:
    lines = [
        "| board | model | kernels | instructions | per MAC | x floor | code | weights | arena |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        cells = (
            f"`{row.board}`",
            row.model.removesuffix("_int8"),
            row.kernels if row.bit_exact else f"{row.kernels} (NOT EXACT)",
            f"{row.instructions:,}",
            _or_dot(row.instructions_per_mac),
            _or_dot(row.distance),
            f"{row.flash_code:,}",
            f"{row.flash_weights:,}",
            f"{row.ram_arena:,}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _link(requests: Sequence[Request], as_json: bool) -> None:
    from tinyseal.bench.link import bench_link

    with errors.status("") as status:
        groups = [(request, bench_link(request, status.update)) for request in requests]
    if as_json:
        print_json([row.to_json() for _, rows in groups for row in rows])
        return
    for request, rows in groups:
        title = (
            f"{request.board.name}, {request.model.stem}: an upload of {rows[0].image_bytes:,} B"
        )
        table = Table("over", "bytes", "image / bytes", "requests", "per 64 KiB", "s", title=title)
        for row in rows:
            seconds = "" if row.line_seconds is None else f"{row.line_seconds:.1f} at {row.baud} Bd"
            table.add_row(
                row.transport,
                f"{row.line_bytes:,}",
                f"{row.efficiency:.3f}",
                str(row.requests),
                f"{row.requests_per_64k:.1f}",
                seconds,
            )
        console.print(table)
