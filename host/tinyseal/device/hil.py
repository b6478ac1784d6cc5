"""Many boards tested at a time: a `scons hil` each, with a build folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tinyseal.build.firmware import BUILD, ROOT
from tinyseal.errors import DeviceError

FOLDER: Final = BUILD / "hil"


@dataclass(frozen=True)
class Job:
    """A board to be tested: a rig, or a virtual one."""

    name: str  # of the rig, or of the board
    board: str
    rig: str | None = None

    @property
    def folder(self) -> Path:
        """What its build writes; report and log are in there. Relative to ROOT."""
        return FOLDER / self.name

    @property
    def report(self) -> Path:
        return self.folder / "hil" / f"{self.board}.xml"

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"


@dataclass(frozen=True)
class Outcome:
    name: str
    board: str
    passed: int
    failed: int
    skipped: int
    seconds: float
    error: str | None  # why no tests ran
    report: str  # JUnit

    @property
    def is_good(self) -> bool:
        """A board whose tests were all skipped was not tested."""
        return self.error is None and self.failed == 0 and self.passed > 0


def run_jobs(
    jobs: Sequence[Job],
    at_a_time: int,
    words: Sequence[str] = (),
    done: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """In the order of `jobs`; `words` go to each `scons`, `done` hears of each as it ends."""

    def run_and_tell(job: Job) -> Outcome:
        outcome = _run(job, words)
        done(outcome)
        return outcome

    with ThreadPoolExecutor(max_workers=at_a_time) as pool:
        return list(pool.map(run_and_tell, jobs))


def _run(job: Job, words: Sequence[str]) -> Outcome:
    started = time.monotonic()
    (ROOT / job.folder).mkdir(parents=True, exist_ok=True)
    (ROOT / job.report).unlink(missing_ok=True)  # of an earlier run
    place = [f"rig={job.rig}"] if job.rig else []
    with (ROOT / job.log).open("w") as log:
        code = subprocess.run(
            [sys.executable, "-m", "SCons", "-Q", f"board={job.board}", *place, *words, "hil"],
            cwd=ROOT,
            env=os.environ | {"TINYSEAL_BUILD": str(job.folder)},
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    seconds = round(time.monotonic() - started, 1)
    error: str | None = None
    try:
        counts = _counts(ROOT / job.report)
    except DeviceError as e:
        counts, error = (0, 0, 0), f"{_why(ROOT / job.log) or e} ({job.log})"
    else:
        error = None if code == 0 or counts[1] else f"exit code {code} ({job.log})"
    return Outcome(job.name, job.board, *counts, seconds, error, str(job.report))


def _counts(report: Path) -> tuple[int, int, int]:
    """Passed, failed and skipped tests. DeviceError without a report."""
    try:
        suites = list(ET.parse(report).iter("testsuite"))
    except (OSError, ET.ParseError) as e:
        raise DeviceError("no tests ran") from e

    def total(key: str) -> int:
        return sum(int(suite.get(key, "0")) for suite in suites)

    failed, skipped = total("failures") + total("errors"), total("skipped")
    return total("tests") - failed - skipped, failed, skipped


def _why(log: Path) -> str | None:
    lines = log.read_text(errors="replace").splitlines()
    told = [line for line in lines if line.startswith("error: ")]
    return told[-1].removeprefix("error: ") if told else None
