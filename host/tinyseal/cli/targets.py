"""The targets of `scons`: what each does once the firmware it works on is built."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tinyseal.build.firmware import ROOT, Request
from tinyseal.cli.output import errors
from tinyseal.errors import ToolError


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
    "clean": Target("remove build/", "tinyseal.cli.targets:clean", needs_firmware=False),
}


def run_target(name: str, request: Request) -> int:
    """Runs a target; a ToolError becomes one line and exit code 1."""
    path = TARGETS[name].function
    assert path is not None
    module, function = path.split(":")
    call: Callable[[Request], int] = getattr(importlib.import_module(module), function)
    try:
        return call(request)
    except ToolError as e:
        errors.print(f"error: {e}", markup=False, highlight=False, soft_wrap=True)
        return 1


def clean(request: Request) -> int:
    shutil.rmtree(ROOT / "build", ignore_errors=True)
    return 0
