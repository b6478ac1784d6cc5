"""Builds a firmware by the project's SConstruct, from Python."""

from __future__ import annotations

import subprocess
import sys

from tinyseal.board import BOARDS_DIR, Board
from tinyseal.build.firmware import ROOT, Request
from tinyseal.errors import BuildError


def build(request: Request) -> None:
    """Brings the images up to date. BuildError gives the first line that says why it cannot."""
    options = [
        f"board={_board(request.board)}",
        f"model={request.model}",
        f"kernels={request.kernels}",
    ]
    options += [f"version={request.version}", f"security_counter={request.security_counter}"]
    options += [f"release={int(request.release)}"]
    options += [f"optimise={request.optimise.value}"]
    options += [f"ram={request.ram}"] if request.ram is not None else []
    options += [f"tuning={request.tuning}"] if request.tuning is not None else []
    options += ["policy=metered"] if request.terms.is_metered else []
    options += [f"family={request.terms.family}"] if request.terms.family else []
    options += [f"key={request.key}"] if request.key else []
    options += [f"encrypt={request.encrypt}"] if request.encrypt else []
    if request.reference is not None:
        options += [f"reference={request.reference}", f"window={request.window}"]
    if request.cmsis_nn is not None:
        options.append(f"cmsis_nn={request.cmsis_nn}")
    done = subprocess.run(
        [sys.executable, "-m", "SCons", "-Q", "-s", *options, "firmware"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        why = next((line for line in lines if "error" in line), (lines or ["no message"])[0])
        raise BuildError(f"scons {' '.join(options)}: {why.removeprefix('error: ')}")


def _board(board: Board) -> str:
    """As scons takes it: a user's own by its file."""
    return board.name if board.file.parent == BOARDS_DIR else str(board.file)
