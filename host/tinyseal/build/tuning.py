"""Files of measured kernel choices: what `scons tune` writes and `kernels=auto` obeys."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from tinyseal.board import Board, Count, Text
from tinyseal.errors import BoardError, BuildError
from tinyseal.plan.kernels import KERNELS
from tinyseal.plan.tuning import Measured, Tuning, Unit
from tinyseal.strict import Strict, as_json, read_toml, shape_faults

FOLDER: Final = Path("boards/tuning")  # relative to the project's root
FUNCTIONS: Final = frozenset(kernel.function for kernel in KERNELS)


class Entry(Strict):
    """One layer shape, as one compiler's code was measured."""

    shape: Text
    compiler: Text
    choice: Text
    costs: dict[str, Count]


class TuningFile(Strict):
    board: Text
    unit: Annotated[Unit, Field(description="instructions or cycles")]
    layer: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class _Key:
    compiler: str
    shape: str


def default_file(board: Board) -> Path:
    return FOLDER / f"{board.name}.toml"


def compiler_of(board: Board) -> str:
    """Name and version, as `arm-none-eabi-gcc 12.2.1`. BuildError without it."""
    return _version(f"{board.toolchain.prefix}gcc", board.toolchain.package)


@cache
def _version(name: str, package: str) -> str:
    try:
        done = subprocess.run(
            [name, "-dumpfullversion"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as e:
        raise BuildError(f"{name} does not tell its version; apt-get install {package}") from e
    return f"{name} {done.stdout.strip()}"


def read_file(path: Path, board: Board) -> TuningFile:
    """BoardError lists every fault: file, key, what is expected."""
    data = read_toml(path, str(path))
    faults = list(shape_faults(TuningFile, data))
    if not faults:
        found = TuningFile.model_validate_json(as_json(data))
        faults = list(_sense_faults(found, board))
    if faults:
        raise BoardError("\n".join(f"{path}: {fault}" for fault in faults))
    return found


def _sense_faults(found: TuningFile, board: Board) -> Iterator[str]:
    if found.board != board.name:
        yield f"board: expected {board.name}, is {found.board}"
    for entry in found.layer:
        if entry.choice not in FUNCTIONS:
            having = ", ".join(sorted(entry.costs)) or "none"
            yield f"layer {entry.shape}: no kernel {entry.choice!r}; measured: {having}"


def tuning_of(found: TuningFile, compiler: str) -> Tuning:
    """What the file says of one compiler's code."""
    return Tuning(
        {e.shape: Measured(e.choice, e.costs) for e in found.layer if e.compiler == compiler},
        found.unit,
    )


def merged(before: TuningFile | None, board: Board, now: Tuning, compiler: str) -> TuningFile:
    """`before` with what was measured `now`, which replaces what it says of the same shapes."""
    if before is not None and before.unit != now.unit:
        before = None
    entries = {_Key(e.compiler, e.shape): e for e in (before.layer if before else ())}
    for shape, measured in now.layers.items():
        costs = dict(sorted(measured.costs.items()))
        entries[_Key(compiler, shape)] = Entry(
            shape=shape, compiler=compiler, choice=measured.choice, costs=costs
        )
    ordered = sorted(entries.values(), key=lambda e: (e.compiler, e.shape))
    return TuningFile(board=board.name, unit=now.unit, layer=tuple(ordered))


def file_text(content: TuningFile) -> str:
    lines = [
        f"# Written by `scons board={content.board} tune`. kernels=auto obeys `choice`, which may",
        f"# be changed by hand; costs are {content.unit}.",
        f'board = "{content.board}"',
        f'unit = "{content.unit}"',
    ]
    for entry in content.layer:
        costs = ", ".join(f"{name} = {cost}" for name, cost in entry.costs.items())
        lines += [
            "",
            "[[layer]]",
            f'shape = "{entry.shape}"',
            f'compiler = "{entry.compiler}"',
            f'choice = "{entry.choice}"',
            f"costs = {{ {costs} }}",
        ]
    return "\n".join([*lines, ""])


def write_file(path: Path, content: TuningFile) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file_text(content))
    except OSError as e:
        raise BuildError(f"{path}: cannot be written: {e.strerror}") from e
