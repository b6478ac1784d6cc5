"""Firmware code compiled for the build machine: what tests and torture campaigns run."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tinyseal.build.firmware import ROOT, WARNINGS
from tinyseal.errors import BuildError

CACHE: Final = ROOT / "build" / "host"
SANITIZE: Final = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
FLAGS: Final = ("-std=c11", "-g", "-O2", "-D_POSIX_C_SOURCE=200809L", *WARNINGS)


def compile_native(
    name: str,
    sources: Sequence[Path],
    include_dirs: Sequence[Path],
    system_dirs: Sequence[Path] = (),
    flags: Sequence[str] = SANITIZE,
    cache: Path = CACHE,
) -> Path:
    """`sources` as one program (or, with -shared among `flags`, library) called `name`.

    Compiled once: the folder is named after everything that goes in. BuildError carries the
    compiler's first error.
    """
    compiler = shutil.which("gcc")
    if compiler is None:
        raise BuildError("gcc is missing; apt-get install gcc")
    command = [compiler, *FLAGS, *flags]
    command += [f"-I{d}" for d in include_dirs]
    command += [word for d in system_dirs for word in ("-isystem", str(d))]
    command += [str(s) for s in sources]
    target = cache / f"{name}-{_digest(command, sources, include_dirs)}" / name
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    # Processes and threads may compile the same at once: each for itself, and the last one stays.
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        scratch = Path(folder) / name
        result = subprocess.run(
            [*command, "-o", str(scratch)], capture_output=True, text=True, check=False
        )
        if result.returncode:
            lines = [line for line in result.stderr.splitlines() if "error:" in line]
            raise BuildError(f"{name}: {lines[0] if lines else result.stderr.strip()}")
        scratch.rename(target)
    return target


def _digest(command: Sequence[str], sources: Sequence[Path], include_dirs: Sequence[Path]) -> str:
    headers = [h for d in include_dirs for h in sorted(d.glob("*.h"))]
    digest = hashlib.sha256("\0".join(command).encode())
    for path in (*sources, *headers):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
