"""`tinyseal torture import`: damaged models for the importer."""

from __future__ import annotations

import contextlib
import enum
import multiprocessing
import resource
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import typer
from rich.table import Table

from tinyseal.cli.campaign import conclude, progress
from tinyseal.cli.output import JsonOption
from tinyseal.errors import ModelError, ToolError
from tinyseal.graph.mutate import Seed, make_seed, mutate
from tinyseal.graph.ops import lower
from tinyseal.graph.tflite import import_tflite, list_operators

ROOT: Final = Path(__file__).resolve().parents[3]
SEED_FOLDERS: Final = (ROOT / "models", ROOT / "tests" / "corpus")
LARGEST_SEED: Final = 120_000  # bytes; larger models repeat what smaller ones have

SECONDS_PER_FILE: Final = 5.0
MEMORY_BYTES: Final = 512 << 20  # on top of what the process takes at its start
REPORT_EVERY: Final = 200  # files


@dataclass
class Tally:
    """What became of the files so far."""

    refused: int = 0
    accepted: int = 0
    failures: list[tuple[int, str]] = field(default_factory=list)  # file number, what happened


class _Outcome(enum.Enum):
    """Of one file, when nothing went wrong."""

    REFUSED = "refused"
    ACCEPTED = "accepted"


class _TooSlow(BaseException):
    """Out of time; not an Exception, so that nothing on the way catches it."""


def torture_import(
    count: Annotated[int, typer.Option(min=1, help="Damaged files to import.")] = 2000,
    seed: Annotated[int, typer.Option(help="Number of the campaign; same number, same files.")] = 1,
    save: Annotated[Path, typer.Option(help="Folder for the files that fail.")] = Path(
        "build/torture"
    ),
    as_json: bool = JsonOption,
) -> None:
    """Mutates sound models and imports them: a file is read or refused, never more than that."""
    seeds = load_seeds()
    started = time.monotonic()
    with progress("importing", count, as_json) as report:
        tally = run_campaign(seeds, count, seed, report)
    seconds = time.monotonic() - started
    saved = []
    for number, _ in tally.failures:
        save.mkdir(parents=True, exist_ok=True)
        path = save / f"import-{seed}-{number}.tflite"
        path.write_bytes(mutate(seeds, number, seed))
        saved.append(str(path))
    failed = [
        {"number": number, "what": what, "file": file}
        for (number, what), file in zip(tally.failures, saved, strict=True)
    ]
    details = {"refused": tally.refused, "accepted": tally.accepted, "failed": failed}
    table = Table("refused", "accepted")
    table.add_row(str(tally.refused), str(tally.accepted))
    broken = [f"{f['file']}: {f['what']}" for f in failed]
    conclude("damaged files", count, seconds, seed, broken, table, details, as_json)


def load_seeds(folders: Sequence[Path] = SEED_FOLDERS) -> list[Seed]:
    """Every model of the project that is not too large."""
    files = [p for folder in folders for p in sorted(folder.glob("*.tflite"))]
    seeds = [
        make_seed(path.stem, path.read_bytes())
        for path in files
        if path.stat().st_size <= LARGEST_SEED
    ]
    if not seeds:
        raise ModelError(f"no models to damage in {', '.join(map(str, folders))}")
    return seeds


def run_campaign(
    seeds: Sequence[Seed],
    count: int,
    seed: int,
    report: Callable[[int], None] = lambda done: None,
    seconds_per_file: float = SECONDS_PER_FILE,
    check: Callable[[bytes], bool] | None = None,
) -> Tally:
    """Files 0 to count-1, in a process of their own that is replaced when it dies."""
    # fork: the seeds are there already, and a crash takes nothing with it.
    context = multiprocessing.get_context("fork")
    tally = Tally()
    start = 0
    while start < count:
        receiver, sender = context.Pipe(duplex=False)
        worker = context.Process(
            target=_work,
            args=(seeds, range(start, count), seed, seconds_per_file, check or survives, sender),
            daemon=True,
        )
        worker.start()
        sender.close()
        start += _collect(receiver, tally, report, start, 2 * seconds_per_file)
        receiver.close()
        if start < count:
            # It died, or hangs in C where no signal handler runs: file `start` did that.
            worker.kill()
            worker.join()
            tally.failures.append((start, f"worker ended with {worker.exitcode}"))
            start += 1
        else:
            worker.join()
    return tally


def _collect(
    receiver: Connection, tally: Tally, report: Callable[[int], None], start: int, patience: float
) -> int:
    """How many files the worker got through before it ended, or was silent for `patience` s."""
    done = 0
    try:
        while receiver.poll(patience):
            outcome: _Outcome | str = receiver.recv()
            if outcome is _Outcome.REFUSED:
                tally.refused += 1
            elif outcome is _Outcome.ACCEPTED:
                tally.accepted += 1
            else:
                tally.failures.append((start + done, str(outcome)))
            done += 1
            if done % REPORT_EVERY == 0:
                report(start + done)
    except EOFError:
        pass  # the worker closed its end: done, or dead
    return done


def _work(
    seeds: Sequence[Seed],
    numbers: range,
    seed: int,
    seconds: float,
    check: Callable[[bytes], bool],
    sender: Connection,
) -> None:
    """The worker: one message a file, at once; memory and time per file are capped."""
    _limit_memory()
    warnings.simplefilter("error")  # an overflow in the lowering is a failure, too
    signal.signal(signal.SIGALRM, _out_of_time)
    for number in numbers:
        data = mutate(seeds, number, seed)
        outcome: _Outcome | str
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            outcome = _Outcome.ACCEPTED if check(data) else _Outcome.REFUSED
        except _TooSlow:
            outcome = f"took longer than {seconds} s"
        # Anything but a ToolError is what this whole command looks for.
        except Exception as e:
            where = traceback.extract_tb(e.__traceback__)[-1]
            outcome = f"{type(e).__name__}: {e} ({Path(where.filename).name}:{where.lineno})"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        sender.send(outcome)
    sender.close()


def survives(data: bytes) -> bool:
    """Whether a file is accepted; all that may come out of importer and lowering is ToolError."""
    with contextlib.suppress(ToolError):
        list_operators(data, "tortured")
    try:
        graph = import_tflite(data, "tortured")
    except ToolError:
        return False
    for op in graph.ops:
        try:
            lower(graph, op)
        except ToolError:
            continue
    return True


def _out_of_time(signum: int, frame: FrameType | None) -> None:
    raise _TooSlow


def _limit_memory() -> None:
    """Caps the address space: an allocation out of proportion fails instead of filling the host."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    cap = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (cap, cap))
