"""PlatformIO builds an exported library: for frameworks whose tools it brings along."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from tinyseal.board import Board
from tinyseal.build.firmware import ROOT
from tinyseal.codegen.library import Environment, environments
from tinyseal.errors import BuildError

REACH_SECONDS: Final = 5.0
# What PlatformIO says when it wants something that is not here, and cannot fetch it.
_OUT_OF_REACH: Final = ("HTTPClientError", "InternetConnectionError", "UnknownPackageError")


def environment_of(board: Board, framework: str) -> Environment:
    """That of `framework`, or the plain one. BuildError says what the board has."""
    having = {e.name: e for e in environments(board)}
    if framework in having:
        return having[framework]
    if board.platformio is None:
        raise BuildError(
            f"framework={framework}: boards/{board.name}.toml has no [platformio] with platform, "
            f"board, frameworks; only framework=plain works, for this machine"
        )
    raise BuildError(
        f"framework={framework}: {board.name} has {', '.join(having)} with PlatformIO; "
        "boards/*.toml, [platformio], says so"
    )


def pio_run(project: Path, wanted: Environment) -> None:
    """`pio run` for one environment of `project`, a path in ROOT; its words go to the terminal.
    BuildError if it is not installed, lacks tools that it cannot fetch, or fails."""
    if importlib.util.find_spec("platformio") is None:
        raise BuildError("PlatformIO is missing; run ./setup platformio")
    if not _is_installed(wanted.platform):
        _require_registry(wanted, project)
    process = subprocess.Popen(
        [sys.executable, "-m", "platformio", "run", "-d", str(project), "-e", wanted.name],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        sys.stdout.write(line)
        said.append(line)
    if process.wait() == 0:
        return
    lacks = next((line for line in said if line.startswith(_OUT_OF_REACH)), None)
    if lacks is not None:
        raise BuildError(
            f"PlatformIO needs tools for {wanted.platform} that are not on this machine, and does "
            f"not get them: {lacks.strip()}; connect once; the project is {project}"
        )
    raise BuildError(f"PlatformIO failed with code {process.returncode}; the project is {project}")


def _is_installed(platform: str) -> bool:
    manager = importlib.import_module("platformio.package.manager.platform")
    return manager.PlatformPackageManager().get_package(platform) is not None


def _require_registry(wanted: Environment, project: Path) -> None:
    hosts = importlib.import_module("platformio").__registry_mirror_hosts__
    reasons = [_silence(host) for host in hosts]
    if all(reasons):
        raise BuildError(
            f"PlatformIO's platform {wanted.platform} is not on this machine, and the registry it "
            f"comes from does not answer ({reasons[0]}); connect once. The project is written; "
            f"elsewhere: pio run -d {project} -e {wanted.name}"
        )


def _silence(host: str) -> str | None:
    """Why `host` does not answer; None if it does, whatever it says."""
    request = urllib.request.Request(f"https://{host}", method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=REACH_SECONDS):
            return None
    except urllib.error.HTTPError:
        return None
    except OSError as e:
        return str(getattr(e, "reason", e))
