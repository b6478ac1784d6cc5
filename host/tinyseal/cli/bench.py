"""`tinyseal bench`: instructions, memory and exactness of each kernel set, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

import typer
from rich.box import SIMPLE
from rich.table import Table

from tinyseal.board import Board
from tinyseal.build.firmware import AUTO, DEFAULT_BOARD, DEFAULT_MODEL, Request
from tinyseal.build.options import parse
from tinyseal.cli.output import JsonOption, console, errors, print_json
from tinyseal.device.bench import Row, bench, ratios
from tinyseal.device.boot_cost import boot_cost
from tinyseal.errors import BuildError, PlanError, ToolError
from tinyseal.plan.kernels import KERNELS, KernelSet

BASE: Final = KernelSet.CMSIS_NN.value  # what the ratios are to

_BAR_HEIGHT: Final = 22
_LABEL_WIDTH: Final = 110
_PLOT_WIDTH: Final = 480


BoardOption = typer.Option(DEFAULT_BOARD, "--board", help="A virtual board.")
ModelOption = typer.Option(DEFAULT_MODEL, "--model", help="A .tflite file.")
KernelsOption = typer.Option(
    [], "--kernels", help="A kernel set; may be given several times. All that apply if not."
)
CmsisNnOption = typer.Option(None, "--cmsis-nn", help="A checkout of CMSIS-NN.")
LayersOption = typer.Option(False, "--layers", help="A table per layer as well.")
LinkOption = typer.Option(
    False, "--link", help="Upload the capsule over serial and BLE, and count the bytes."
)
BootOption = typer.Option(
    False, "--boot", help="Instructions from reset to the application's first, instead."
)
PlotOption = typer.Option(None, "--plot", help="Write a bar chart (SVG) to this file.")


def command(
    board: str = BoardOption,
    model: Path = ModelOption,
    kernels: list[str] = KernelsOption,
    cmsis_nn: Path | None = CmsisNnOption,
    layers: bool = LayersOption,
    plot: Path | None = PlotOption,
    link: bool = LinkOption,
    boot: bool = BootOption,
    as_json: bool = JsonOption,
) -> None:
    """Instructions per inference on a virtual board, with memory and bit-exactness; or, with
    --link, what the model's update costs on the line; or, with --boot, what verified boot costs."""
    request = parse({"board": board, "model": str(model)}, [], [])
    if boot:
        _show_boot(request, as_json)
        return
    if link:
        _link(request, as_json)
        return
    sets = kernels or default_sets(request.board)
    requests = [
        parse(
            {
                "board": board,
                "model": str(model),
                "kernels": name,
                **({"cmsis_nn": str(cmsis_nn)} if cmsis_nn else {}),
            },
            [],
            [],
        )
        for name in sets
    ]
    rows = _measure(requests, choosy=bool(kernels))
    if as_json:
        print_json(
            [{**r.to_json(), "ratio": x} for r, x in zip(rows, ratios(rows, BASE), strict=True)]
        )
    else:
        _show(rows, layers)
    if plot is not None:
        _write(plot, bar_chart(rows))
    if not all(row.bit_exact for row in rows):
        raise typer.Exit(1)


def _show_boot(request: Request, as_json: bool) -> None:
    with errors.status("") as status:
        cost = boot_cost(request, status.update)
    if as_json:
        print_json(cost.to_json())
        return
    table = Table(title=f"boot of {cost.board} with {cost.model}", box=SIMPLE, pad_edge=False)
    for name in (
        "app", "of slot", "capsule", "of slot",
        "first start", "each later", "a signature", "est. s",
    ):  # fmt: skip
        table.add_column(name, justify="right", no_wrap=True)
    table.add_row(
        *(
            f"{n:,}"
            for n in (
                cost.app_bytes,
                cost.app_slot_bytes,
                cost.capsule_bytes,
                cost.capsule_slot_bytes,
                cost.first,
                cost.after,
                cost.signature,
            )
        ),
        f"{cost.seconds:.2f}",
    )
    console.print(table)
    console.print("[dim]bytes; instructions from reset to the application's first[/]")


def target(request: Request) -> int:
    """`scons bench`: all sets that apply, or the one asked for."""
    sets = default_sets(request.board) if request.kernels == AUTO else [request.kernels]
    rows = _measure(
        [Request(request.board, request.model, name, request.cmsis_nn) for name in sets],
        choosy=len(sets) == 1,
    )
    _show(rows, True)
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
        errors.print(f"left out: {misfit}", markup=False, highlight=False, soft_wrap=True)
    return rows


def _show(rows: Sequence[Row], layers: bool) -> None:
    table = Table(title=f"{rows[0].model} on {rows[0].board}", box=SIMPLE, pad_edge=False)
    table.add_column("kernels", no_wrap=True)
    for name in ("instructions", "ratio", "/MAC", "code", "weights", "arena", "RAM", "exact"):
        table.add_column(name, justify="right", no_wrap=True)
    for row, ratio in zip(rows, ratios(rows, BASE), strict=True):
        table.add_row(
            row.kernels,
            f"{row.instructions:,}",
            "·" if ratio is None else f"{ratio:.3f}",
            _per_mac(row.instructions, row.macs),
            f"{row.flash_code:,}",
            f"{row.flash_weights:,}",
            f"{row.ram_arena:,}",
            f"{row.ram_static:,}",
            "yes" if row.bit_exact else "[bold red]NO[/]",
        )
    console.print(table)
    console.print(
        f"[dim]ratio: instructions to those of {BASE}; code and weights in flash, arena and RAM "
        "besides it, in bytes[/]"
    )
    if layers:
        console.print(_layer_table(rows))


def _layer_table(rows: Sequence[Row]) -> Table:
    """Every set runs the same layers: one line each, instructions and kernel for each set."""
    table = Table("layer", box=SIMPLE, pad_edge=False)
    table.add_column("MACs", justify="right")
    for row in rows:
        table.add_column(row.kernels, justify="right")
        table.add_column("/MAC", justify="right")
        table.add_column("kernel")
    for at in zip(*(row.layers for row in rows), strict=True):
        cells = [at[0].name, f"{at[0].macs:,}"]
        for layer in at:
            cells += [
                f"{layer.instructions:,}",
                _per_mac(layer.instructions, layer.macs),
                layer.function,
            ]
        table.add_row(*cells)
    return table


def _per_mac(instructions: int, macs: int) -> str:
    return f"{instructions / macs:.2f}" if macs else "·"


def bar_chart(rows: Sequence[Row]) -> str:
    """An SVG: one bar a kernel set, its length the instructions of one inference."""
    longest = max(row.instructions for row in rows)
    height = _BAR_HEIGHT * (len(rows) + 2)
    width = _LABEL_WIDTH + _PLOT_WIDTH + 110
    title = f"{rows[0].model} on {rows[0].board}: million instructions per inference"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="13">',
        f'<text x="4" y="16" font-weight="bold">{escape(title)}</text>',
    ]
    for number, row in enumerate(rows, 1):
        y = _BAR_HEIGHT * number + 6
        bar = max(1, round(_PLOT_WIDTH * row.instructions / longest))
        lines += [
            f'<text x="4" y="{y + 14}">{escape(row.kernels)}</text>',
            f'<rect x="{_LABEL_WIDTH}" y="{y}" width="{bar}" height="{_BAR_HEIGHT - 6}" '
            'fill="#2a6f97"/>',
            f'<text x="{_LABEL_WIDTH + bar + 6}" y="{y + 14}">{row.instructions / 1e6:.3f}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as e:
        raise ToolError(f"{path}: cannot write the chart: {e.strerror}") from e


def _link(request: Request, as_json: bool) -> None:
    from tinyseal.device.link_bench import bench_link

    with errors.status("") as status:
        rows = bench_link(request, status.update)
    if as_json:
        print_json([row.to_json() for row in rows])
        return
    title = f"{request.board.name}, {request.model.stem}: an upload of {rows[0].image_bytes:,} B"
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
