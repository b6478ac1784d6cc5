"""`scons hil` tests a board over serial; `tinyseal hil list` shows which boards there are."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import typer
from rich.table import Table

from tinyseal.board import Board
from tinyseal.build.firmware import BUILD, ROOT, Request
from tinyseal.build.scons import build
from tinyseal.cli.check import figures
from tinyseal.cli.lazy import Entry, lazy_group
from tinyseal.cli.output import JsonOption, console, print_json
from tinyseal.device.labgrid import absence
from tinyseal.device.rigs import BENCH, load_bench, serial_ports
from tinyseal.errors import BoardError, BuildError, ToolError
from tinyseal.graph.load import load_model
from tinyseal.plan.choose import kernel_set
from tinyseal.plan.planner import draft
from tinyseal.profiles import board_names, load_board

REPORTS: Final = ROOT / BUILD / "hil"
BenchOption = typer.Option(BENCH, "--bench", help="The file that describes the rigs.")

app = typer.Typer(
    cls=lazy_group({"run": Entry("hil_run:run", "The tests of hil/ on several boards at a time.")}),
    help="Boards under test: the rigs of hil/bench.toml, and virtual boards.",
)


@dataclass(frozen=True)
class Place:
    """Where a board may be tested."""

    name: str
    board: str
    kind: str  # virtual, real
    present: bool
    where: str  # its emulator, its port, or why it is absent


@app.command("list")
def list_(bench: Path = BenchOption, as_json: bool = JsonOption) -> None:
    """List rigs and virtual boards, and which of them are present."""
    found = places(bench)
    if as_json:
        print_json([asdict(p) for p in found])
        return
    table = Table("name", "board", "kind", "present", "where")
    for p in found:
        table.add_row(p.name, p.board, p.kind, "yes" if p.present else "[red]no[/]", p.where)
    console.print(table)


def places(bench: Path) -> list[Place]:
    """The rigs described in `bench`, then the virtual boards."""
    ports = serial_ports()
    found = []
    for rig in load_bench(bench).rig:
        if rig.labgrid:
            why = absence(rig.labgrid)
            where = why or f"labgrid place {rig.labgrid}"
            found.append(Place(rig.name, rig.board, "real", why is None, where))
            continue
        port = rig.port(ports)
        where = port or f"no USB serial {rig.usb_serial}"
        found.append(Place(rig.name, rig.board, "real", port is not None, where))
    for board in map(load_board, board_names()):
        if board.runner:
            present = shutil.which(board.runner.binary) is not None
            where = board.runner.binary if present else f"apt-get install {board.runner.package}"
            found.append(Place(board.name, board.name, "virtual", present, where))
    return found


def run(request: Request) -> int:
    """Builds the firmware of every model that fits, and passes the tests of hil/ on the board."""
    if importlib.util.find_spec("pytest_embedded_serial") is None:
        raise BuildError("pytest-embedded-serial is missing; run ./setup test")
    board = request.board
    place = _place(request)
    models = [request.model] if "model" in request.words else fitting(board, request.kernels)
    if not models:
        raise BuildError(f"no model of models/ fits {board.name}; say which: model=PATH")
    for model in models:
        console.print(f"build {model} for {board.name}", style="dim", highlight=False)
        build(Request(board, model, request.kernels, request.cmsis_nn))
    report = REPORTS / f"{board.name}.xml"
    command = [sys.executable, "-m", "pytest", "hil", f"--board={board.name}", *place]
    command += [f"--kernels={request.kernels}", *(f"--model={model}" for model in models)]
    # xunit1 has the properties of single tests: the times measured
    command += [f"--junitxml={report}", "-o", "junit_family=xunit1"]
    command += ["-o", f"junit_suite_name=hil-{board.name}"]
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    console.print(f"report: {report.relative_to(ROOT)}", highlight=False)
    return code


def fitting(board: Board, kernels: str) -> list[Path]:
    """The models of models/ that `board` has room for, by the planner's estimate."""
    wanted = kernel_set(kernels)
    fit = []
    for path in sorted((ROOT / "models").glob("*.tflite")):
        try:
            made = draft(load_model(path), board, wanted)
        except ToolError as e:
            console.print(f"left out: {e}", style="dim", highlight=False, soft_wrap=True)
            continue
        if figures(made)["fits"]:
            fit.append(path.relative_to(ROOT))
        else:
            console.print(f"left out: {path.stem} does not fit {board.name}", style="dim")
    return fit


def _place(request: Request) -> list[str]:
    """Which board of that profile: arguments for the tests. BoardError where that is not clear."""
    board, words = request.board, request.words
    if "port" in words and "rig" in words:
        raise BoardError("port= and rig= both say where the board is; give one of them")
    if "port" in words:
        return [f"--port={words['port']}"]
    if "rig" in words:
        rig = load_bench().named(words["rig"])
        if rig.board != board.name:
            raise BoardError(f"{rig.name} is a {rig.board}: scons board={rig.board} rig={rig.name}")
        return [f"--rig={rig.name}"]
    if board.runner:
        return []
    mine = [r.name for r in load_bench().rig if r.board == board.name]
    if len(mine) != 1:
        known = f"one of rig={', '.join(mine)}" if mine else "port=..., or a rig in hil/bench.toml"
        raise BoardError(f"{board.name} is a real board; say where it is: {known}")
    return [f"--rig={mine[0]}"]
