"""A model as a library for other people's builds: a folder, or a ZIP file, of sources."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from tinyseal.board import Board
from tinyseal.build.firmware import ROOT
from tinyseal.codegen.library import Kind, generate_library, generate_model_sources, library_name
from tinyseal.errors import BuildError, UsageError
from tinyseal.graph.ir import Graph
from tinyseal.plan.goal import FASTEST, Goal
from tinyseal.plan.kernels import KernelSet
from tinyseal.plan.model import Plan
from tinyseal.plan.planner import plan

# Kernels of our own: an export carries no sources of others.
KERNELS: Final = (KernelSet.TUNED, KernelSet.REFERENCE)
_MARK: Final = Path("src/tinyseal_model.h")  # what tells an export from another folder
_ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)
_INCLUDE: Final = re.compile(r'^#include "([\w./]+)"', re.MULTILINE)
# Their files go to src/, and those of runtime/kernels to src/kernels/.
_ROOTS: Final = tuple(ROOT / "firmware" / folder for folder in ("library", "runtime", "nv"))


def plan_export(graph: Graph, board: Board, kernels: KernelSet, goal: Goal = FASTEST) -> Plan:
    """The plan of an export; `kernels` is one of KERNELS. UsageError, PlanError."""
    if kernels not in KERNELS:
        raise UsageError(
            f"kernels {kernels.value}: an export carries no sources of others; "
            f"choices: {', '.join(k.value for k in KERNELS)}"
        )
    return plan(graph, board, kernels, goal=goal)


def library_files(made: Plan, kernels: KernelSet, kind: Kind) -> dict[str, bytes]:
    """Every file of the library, by its path in there."""
    texts = generate_model_sources(made, kernels.value)
    sources = {name: text.encode() for name, text in texts.items()}
    sources |= closure(sources, "tinyseal.h", _ROOTS)
    units = sorted(name for name in sources if name.endswith(".c"))
    around = generate_library(made, kind, units)
    return {
        "LICENSE": (ROOT / "LICENSE").read_bytes(),
        **{path: text.encode() for path, text in around.items()},
        **{f"src/{name}": sources[name] for name in sorted(sources)},
    }


def write_library(files: dict[str, bytes], folder: Path, mark: Path = _MARK) -> None:
    """Into a new or empty folder, or over an earlier export: one where `mark` is, whose folder is
    replaced. UsageError."""
    try:
        if folder.exists() and any(folder.iterdir()):
            if not (folder / mark).is_file():
                raise UsageError(
                    f"{folder}: not empty, and not an earlier export; give a new folder"
                )
            shutil.rmtree(folder / mark.parent)
        for path, data in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
    except OSError as e:
        raise UsageError(f"{folder}: cannot be written: {e.strerror}") from e


def write_zip(made: Plan, files: dict[str, bytes], out: Path) -> None:
    """A ZIP file with one folder, as Arduino's IDE takes libraries; same files, same bytes."""
    name = library_name(made)
    try:
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, data in sorted(files.items()):
                entry = zipfile.ZipInfo(f"{name}/{path}", _ZIP_TIME)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, data)
    except OSError as e:
        raise UsageError(f"{out}: cannot be written: {e.strerror}") from e


def closure(made: dict[str, bytes], start: str, roots: Sequence[Path]) -> dict[str, bytes]:
    """The files under `roots` that the generated ones and the header `start` need: the headers they
    include, the source beside each header, and what those include."""
    waiting = {start, *(n for data in made.values() for n in _included(data))}
    found: dict[str, bytes] = {}
    while waiting:
        name = waiting.pop()
        if name in made or name in found:
            continue
        for path in _header_and_source(name, roots):
            here = PurePosixPath(name).with_name(path.name)
            found[str(here)] = path.read_bytes()
            for included in _included(found[str(here)]):
                beside = (path.parent / included).is_file()
                waiting.add(str(here.parent / included) if beside else included)
    return found


def _header_and_source(name: str, roots: Sequence[Path]) -> list[Path]:
    header = next((root / name for root in roots if (root / name).is_file()), None)
    if header is None:
        raise BuildError(f"{name}: included by a source of the export, and nowhere in firmware/")
    return [path for path in (header, header.with_suffix(".c")) if path.is_file()]


def _included(data: bytes) -> list[str]:
    return _INCLUDE.findall(data.decode())
