"""`tinyseal observe bench`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import typer
from rich.progress import Progress
from rich.table import Table

from tinyseal.build.firmware import DEFAULT_MODEL, ROOT, load_samples
from tinyseal.cli.output import JsonOption, console, errors, print_json
from tinyseal.errors import UsageError

StreamsArgument = typer.Argument(
    ..., metavar="STREAMS.npz", help="Samples by the name of their drift; those without: `none`."
)
ReferenceOption = typer.Option(
    ..., "--reference", help=".npy or .npz of calibration samples, as for scons."
)
ModelOption = typer.Option(DEFAULT_MODEL, "--model", "-m", help="A .tflite file.")


def bench(
    streams: Path = StreamsArgument,
    reference: Path = ReferenceOption,
    model: Path = ModelOption,
    window: int = typer.Option(256, "--window", help="Inferences of a window."),
    clean: int = typer.Option(1000, "--clean", min=1, help="Windows without drift."),
    repeats: int = typer.Option(10, "--streams", min=1, help="Streams of each kind of drift."),
    ramp: int = typer.Option(0, "--ramp", min=0, help="Windows within which drift comes."),
    as_json: bool = JsonOption,
) -> None:
    """How soon the device's statistics tell of drift, and how often of none: beside the same in
    floating point, and river's ADWIN. Samples are drawn from the streams, windows of them.

    \b
    Example: tinyseal observe bench build/digits_streams.npz --reference build/digits.npy \\
                 --model models/digits_int8.tflite
    """
    from tinyseal.graph.drift_bench import drift_bench
    from tinyseal.graph.load import load_model

    try:
        import river  # noqa: F401
    except ImportError as e:
        raise UsageError("river is missing; ./setup test installs it") from e
    path = model if model.exists() else ROOT / model
    quiet = as_json or not errors.is_terminal
    with Progress(console=errors, transient=True, disable=quiet) as bar:
        task = bar.add_task("", total=None)
        found = drift_bench(
            load_model(path), load_samples(reference.absolute()), _read(streams), window, clean,
            repeats, ramp, lambda text: bar.update(task, description=text),
        )  # fmt: skip
    if as_json:
        print_json(found.to_json())
        return
    table = Table("drift", box=None, pad_edge=False)
    for judge in found.false_alarms:
        table.add_column(judge, justify="right")
    table.add_row("false alarms in 1,000", *(f"{n:g}" for n in found.false_alarms.values()))
    for drift in dict.fromkeys(d.drift for d in found.detections):
        cells = []
        for d in (d for d in found.detections if d.drift == drift):
            missed = f", {d.streams - d.seen} missed" if d.seen < d.streams else ""
            cells.append("missed" if d.mean is None else f"{d.mean:.1f} ({d.most}){missed}")
        table.add_row(drift, *cells)
    console.print(table)
    console.print(
        f"windows of {found.window} until drift is told, mean and (most); device and floating "
        f"point: the same verdict on {found.agreed:,} of {found.compared:,} windows, distances "
        f"below 1 at most {found.difference:g} apart",
        highlight=False,
    )


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as loaded:
            return {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, TypeError, AttributeError) as e:
        raise UsageError(f"{path}: no .npz of samples: {e}") from e
