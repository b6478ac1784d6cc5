"""`tinyseal check`: does this model run on that board, before anything is built or flashed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
from rich.columns import Columns
from rich.table import Column, Table
from rich.text import Text

from tinyseal.board import Board
from tinyseal.build.firmware import DEFAULT_MODEL, ROOT, Request
from tinyseal.cli.boards import named_board
from tinyseal.cli.drawing import arena_svg, arena_text, marked
from tinyseal.cli.goal import OptimiseOption, RamOption, ram_limit
from tinyseal.cli.output import JsonOption, console, print_json
from tinyseal.codegen.firmware import ImageName
from tinyseal.codegen.generate import emit_layers
from tinyseal.errors import BuildError, PlanError, UsageError
from tinyseal.graph.ops import LOWERINGS
from tinyseal.plan.choose import AUTO, kernel_set
from tinyseal.plan.cost import code_bytes
from tinyseal.plan.goal import Optimise
from tinyseal.plan.model import Plan
from tinyseal.plan.planner import draft, refusal
from tinyseal.plan.support import Verdict, judge

ModelArgument = typer.Argument(..., help="A .tflite file.")
BoardOption = typer.Option("qemu-m4", "--board", help="A board's name, or a profile's path.")
KernelsOption = typer.Option(AUTO, "--kernels", help="auto, reference, cmsis-nn or tuned.")
PlotOption = typer.Option(None, "--plot", help="Write the arena over time as SVG to this file.")


def check(
    model: Path = ModelArgument,
    board: str = BoardOption,
    kernels: str = KernelsOption,
    optimise: Optimise = OptimiseOption,
    ram: str | None = RamOption,
    plot: Path | None = PlotOption,
    as_json: bool = JsonOption,
) -> None:
    """Say whether MODEL runs on a board: operators, arena, flash, time. Exit 0 fits, 1 not."""
    profile = named_board(board)
    try:
        wanted = kernel_set(kernels)
        goal = Request(profile, model, kernels, optimise=optimise, ram=ram_limit(ram)).goal()
        data = model.read_bytes()
    except (PlanError, BuildError) as e:
        raise UsageError(str(e)) from e
    except OSError as e:
        raise UsageError(f"{model}: cannot be read: {e.strerror}") from e
    verdicts, graph = judge(data, model.stem, profile, wanted)
    report: dict[str, Any] = {
        "model": model.stem,
        "board": profile.name,
        "kernels": kernels,
        "optimise": optimise.value,
        "ram": goal.ram,
        "supported": all(v.problem is None for v in verdicts),
        "fits": False,
        "operators": [asdict(v) for v in verdicts],
    }
    if graph is None or not report["supported"]:
        if as_json:
            print_json(report)
        else:
            _show_trouble(report, verdicts)
        raise typer.Exit(1)

    made = draft(graph, profile, wanted, goal=goal)
    report |= figures(made)
    if plot:
        try:
            plot.write_text(arena_svg(made), encoding="utf-8")
        except OSError as e:
            raise UsageError(f"{plot}: cannot be written: {e.strerror}") from e
    if as_json:
        print_json(report)
    else:
        _show(made, report)
    raise typer.Exit(0 if report["fits"] else 1)


def figures(made: Plan) -> dict[str, Any]:
    """Everything measured or estimated of a plan, as the JSON has it."""
    board = made.board
    cpi = board.cost.cycles_per_instruction
    constants = [layer.constant_bytes for layer in emit_layers(made)]
    weights, code = sum(constants), code_bytes(made)
    capsule = _slot(board, "capsule", weights + code)
    app = _slot(board, "app", _built_bytes(board))
    return {
        "model_id": made.graph.model_id,
        "fits": made.fits and capsule["fits"] and app["fits"],
        "arena": [
            {
                "region": memory.name,
                "bytes": need,
                "state_bytes": state,
                "free": free,
                "fits": need <= free,
            }
            for memory, free, need, state in zip(
                board.arena_regions, made.budgets, made.arena_bytes, made.state_bytes, strict=True
            )
        ],
        "arena_lower_bound": made.arena_lower_bound,
        "flash": {"weights": weights, "code_estimate": code, **capsule},
        "app": app,
        "macs": made.macs,
        "instructions": round(made.instructions),
        "cycles": round(made.instructions * cpi),
        "seconds": board.seconds(made.instructions),
        "layers": [
            {
                "layer": step.label,
                "kernel": step.kernel.function,
                "set": step.kernel.set.value,
                "tuned": step.is_tuned,
                "macs": step.lowered.params.macs,
                "instructions": round(step.instructions),
                "cycles": round(step.instructions * cpi),
                "seconds": board.seconds(step.instructions),
                "weights": size,
                "scratch": step.scratch.bytes if step.scratch else 0,
            }
            for step, size in zip(made.steps, constants, strict=True)
        ],
        "buffers": [
            {"name": h.name, "first": h.first, "last": h.last, **asdict(h.buffer)}
            for h in made.held
        ],
    }


def _slot(board: Board, image: ImageName, need: int | None) -> dict[str, Any]:
    """What an image needs (None: not known) of its slot; on a board without [boot], of nothing."""
    slots = board.partitions(image)
    free = board.payload_bytes(image) if board.boot is not None and slots else None
    return {
        "slot": slots[0].name if slots else None,
        "bytes": need,
        "free": free,
        "fits": need is None or free is None or need <= free,
    }


def _built_bytes(board: Board) -> int | None:
    """Of the application's payload, if it was built."""
    elf = Request(board, DEFAULT_MODEL).image("app")
    try:
        return (ROOT / elf.with_suffix(".bin")).stat().st_size
    except OSError:
        return None


def _show_trouble(report: dict[str, Any], verdicts: tuple[Verdict, ...]) -> None:
    bad = [v for v in verdicts if v.problem]
    table = Table("node", "operator", "version", "output", "problem", "way out")
    for v in bad:
        cells = (str(v.node), v.operator, str(v.version), v.output, v.problem, v.way_out)
        table.add_row(*(Text(cell or "") for cell in cells))
    console.print(table)
    console.print(
        f"{report['model']} does not run on {report['board']}: {len(bad)} of {len(verdicts)} "
        "operators are not supported",
        style="bold red",
        highlight=False,
    )
    supported = ", ".join(sorted(kind.value for kind in LOWERINGS))
    console.print(f"supported: {supported}", style="dim", highlight=False)


def _show(made: Plan, report: dict[str, Any]) -> None:
    console.print(_layer_table(report))
    if any(layer["tuned"] for layer in report["layers"]):
        console.print("[dim]* chosen as measured[/]")
    console.print()
    for region, need in enumerate(made.arena_bytes):
        if need:
            memory = made.board.arena_regions[region].name
            console.print(f"[bold]arena over time, {memory}[/] (bytes down, steps across)")
            for line in arena_text(made, region, console.width):
                console.print(line, no_wrap=True)
    console.print(_legend(made))
    console.print()
    console.print(_memory_table(made, report))
    milliseconds = report["seconds"] * 1e3
    console.print(
        f"one inference: {report['macs']:,} MACs, about {report['instructions']:,} instructions, "
        f"{report['cycles']:,} cycles, {milliseconds:,.1f} ms at "
        f"{made.board.clock.hz / 1e6:g} MHz",
        highlight=False,
    )
    head = f"{report['model']} on {report['board']}"
    if report["fits"]:
        console.print(f"{head}: fits", style="bold green", highlight=False)
        return
    if not made.fits:
        console.print(
            f"does not fit: {refusal(made)}", style="bold red", highlight=False, soft_wrap=True
        )
    for what, about, key in (("capsule", "about ", "flash"), ("application", "", "app")):
        slot = report[key]
        if not slot["fits"]:
            console.print(
                f"{head}: does not fit: the {what} has {about}{slot['bytes']:,} B, its slot "
                f"{slot['slot']} has room for {slot['free']:,}: "
                f"{slot['bytes'] - slot['free']:,} B too many",
                style="bold red",
                highlight=False,
                soft_wrap=True,
            )


def _layer_table(report: dict[str, Any]) -> Table:
    table = Table(Column("layer", no_wrap=True), "kernel", show_footer=True)
    table.columns[0].footer = "total"
    columns = {
        "MACs": "macs",
        "cycles (est.)": "cycles",
        "weights B": "weights",
        "scratch B": "scratch",
    }
    for name, key in columns.items():
        footer = "" if key == "scratch" else f"{sum(x[key] for x in report['layers']):,}"
        table.add_column(name, footer=footer, justify="right")
    table.add_column("ms (est.)", footer=f"{report['seconds'] * 1e3:.3f}", justify="right")
    for layer in report["layers"]:
        table.add_row(
            layer["layer"],
            layer["kernel"] + (" *" if layer["tuned"] else ""),
            *(f"{layer[key]:,}" if layer[key] else "·" for key in columns.values()),
            f"{layer['seconds'] * 1e3:.3f}",
        )
    return table


def _legend(made: Plan) -> Columns:
    entries = []
    for drawn in marked(made):
        entry = Text(f" {drawn.symbol} ", drawn.style)
        entry.append(f" {drawn.held.name} {drawn.held.buffer.bytes:,} B", "default on default")
        entries.append(entry)
    return Columns(entries, padding=(0, 2))


def _memory_table(made: Plan, report: dict[str, Any]) -> Table:
    table = Table("memory")
    for name in ("needs B", "has B", "left B", "used"):
        table.add_column(name, justify="right")
    table.add_column("")

    def row(name: str, need: int, free: int | None, note: str) -> None:
        if not free:
            has = "-" if free is None else "0"
            table.add_row(name, f"{need:,}", has, "-", "-", note)
            return
        style = "red" if need > free else ""
        table.add_row(
            name, f"{need:,}", f"{free:,}", f"{free - need:,}", f"{need / free:.1%}", note,
            style=style,
        )  # fmt: skip

    bound = f"inputs, outputs, scratch; lower bound {made.arena_lower_bound:,}"
    for number, region in enumerate(report["arena"]):
        state = f"; state {region['state_bytes']:,}" if region["state_bytes"] else ""
        note = (bound if number == 0 else "") + state
        row(f"arena in {region['region']}", region["bytes"], region["free"], note)
    flash = report["flash"]
    row(
        f"capsule in {flash['slot'] or 'flash'}",
        flash["bytes"],
        flash["free"],
        f"weights {flash['weights']:,} exact, code about {flash['code_estimate']:,}"
        + ("" if flash["free"] is not None else "; the profile has no [boot]"),
    )
    app = report["app"]
    if app["bytes"] is not None:
        row(f"application in {app['slot']}", app["bytes"], app["free"], "as last built")
    return table
