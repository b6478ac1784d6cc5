"""The targets of `scons`: what each does once the firmware it works on is built."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tinyseal.build.firmware import ROOT, Request
from tinyseal.cli.output import errors
from tinyseal.errors import BuildError, ToolError


@dataclass(frozen=True)
class Target:
    """`function`, as "module:name", takes a Request and returns an exit code. It is imported when
    the target runs, so that no build waits for packages that only a report needs."""

    help: str
    function: str | None = None
    needs_firmware: bool = True


TARGETS: Final = {
    "firmware": Target("ELF, hex and bin for one board and model; built if no target is named"),
    "run": Target(
        "boot the firmware on the virtual board, compare its outputs with the reference",
        "tinyseal.cli.run:run",
    ),
    "pty": Target(
        "boot the firmware on the virtual board and leave it running on a pseudo-terminal",
        "tinyseal.cli.console:serve",
    ),
    "hil": Target(
        "test the board itself: firmware of every model that fits (or model=), over serial",
        "tinyseal.cli.hil:run",
        needs_firmware=False,
    ),
    "flash": Target(
        "write what was built to the board at port= or rig=, or found by its USB id",
        "tinyseal.cli.flash:target",
    ),
    "ota": Target(
        "update the board at port= or rig=, or the virtual one, with what was built",
        "tinyseal.cli.ota:target",
    ),
    "test": Target("pass the project's tests", "tinyseal.cli.targets:test", needs_firmware=False),
    "size": Target(
        "show where every byte goes, per memory, layer and kernel, against the last build",
        "tinyseal.cli.size:show",
    ),
    "bench": Target(
        "count instructions on the virtual board, for each kernel set or the one given",
        "tinyseal.cli.bench:target",
        needs_firmware=False,
    ),
    "tune": Target(
        "measure each layer's kernels, on the virtual board or one at port=, and note the best",
        "tinyseal.cli.tune:run",
        needs_firmware=False,
    ),
    "clean": Target("remove build/", "tinyseal.cli.targets:clean", needs_firmware=False),
}


def call(path: str, request: Request) -> int:
    """Calls "module:name"; a ToolError becomes one line and exit code 1."""
    module, name = path.split(":")
    function: Callable[[Request], int] = getattr(importlib.import_module(module), name)
    try:
        return function(request)
    except ToolError as e:
        errors.print(f"error: {e}", markup=False, highlight=False, soft_wrap=True)
        return 1


def test(request: Request) -> int:
    if importlib.util.find_spec("pytest") is None:
        raise BuildError("pytest is missing; run ./setup test")
    return subprocess.run([sys.executable, "-m", "pytest"], cwd=ROOT, check=False).returncode


def clean(request: Request) -> int:
    shutil.rmtree(ROOT / "build", ignore_errors=True)
    return 0
