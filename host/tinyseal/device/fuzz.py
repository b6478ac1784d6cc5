"""Hostile bytes for the firmware's parsers: libFuzzer with sanitizers, corpus kept."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tinyseal.build.firmware import ROOT
from tinyseal.build.third_party import monocypher
from tinyseal.errors import BuildError

CORPUS: Final = ROOT / "tests" / "corpus" / "fuzz"
_FOLDERS: Final = tuple(
    ROOT / "firmware" / name for name in ("hal", "nv", "crypto", "boot", "sim", "fuzz", "services")
)
_FLAGS: Final = (
    "-std=c11", "-g", "-O1", "-D_POSIX_C_SOURCE=200809L",
    "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all",
)  # fmt: skip
_COMPILERS: Final = ("clang", "clang-14")
_RUNS: Final = re.compile(r"stat::number_of_executed_units:\s*(\d+)")


@dataclass(frozen=True)
class FuzzResult:
    count: int  # executions
    failures: int
    seconds: float
    message: str  # what broke, if something did


def fuzz(count: int, seed: int, corpus: Path = CORPUS) -> FuzzResult:
    """At least `count` executions from the corpus on; what is found anew is not kept there.

    BuildError without clang and its run-time libraries.
    """
    with tempfile.TemporaryDirectory() as scratch:
        program = _compile(Path(scratch))
        found = Path(scratch) / "found"
        found.mkdir()
        started = time.monotonic()
        done = subprocess.run(
            [str(program), f"-runs={count}", f"-seed={seed}", "-max_len=4096", "-timeout=20",
             "-print_final_stats=1", f"-artifact_prefix={scratch}/", str(found), str(corpus)],
            capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        seconds = round(time.monotonic() - started, 1)
    runs = _RUNS.search(done.stderr)
    lines = [line for line in done.stderr.splitlines() if "ERROR" in line or "error" in line]
    return FuzzResult(
        int(runs.group(1)) if runs else 0,
        int(done.returncode != 0),
        seconds,
        (lines[0] if lines else done.stderr[-200:]) if done.returncode else "",
    )


def _compile(folder: Path) -> Path:
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        raise BuildError("clang is missing; apt-get install clang libclang-rt-14-dev")
    curve = monocypher(ROOT / "build" / "third_party")
    sources = [p for d in _FOLDERS[1:4] for p in sorted(d.glob("*.c"))]
    sources += [
        _FOLDERS[4] / "flash_sim.c",
        _FOLDERS[5] / "fuzz.c",
        _FOLDERS[5] / "fuzz_meter.c",
        curve.source,
    ]
    sources += [
        _FOLDERS[6] / name for name in ("delta.c", "slot_writer.c", "meter.c", "meter_voucher.c")
    ]
    command = [compiler, *_FLAGS, *(f"-I{d}" for d in _FOLDERS), f"-I{curve.include_dir}"]
    target = folder / "fuzz"
    done = subprocess.run(
        [*command, *map(str, sources), "-o", str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line]
        raise BuildError(f"fuzz: {lines[0] if lines else done.stderr.strip()[:300]}")
    return target
