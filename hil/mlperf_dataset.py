"""Makes a small data set in the layout of MLPerf Tiny's runner, to try it out without the real one.

    python hil/mlperf_dataset.py models/kws_int8.tflite build/mlperf

The files are noise. Every second one is labelled with the class that the numpy reference finds in
it, the others with one class after the other, so that every class occurs. The command prints the
"Top 1%" that the runner must arrive at in accuracy mode.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import Final

import numpy as np

from tinyseal.errors import ToolError
from tinyseal.graph.load import load_model
from tinyseal.graph.reference import Interpreter

SEED: Final = 3
LEAST_FILES: Final = 6  # the runner's performance script takes 5
WINDOWS: Final = 3  # of one of them
STRIDE_VALUES: Final = 128  # from one window to the next: one frame


def classification(model: Path, folder: Path, unsigned: bool) -> float:
    """Files of int8 or uint8, one input each. Returns the reference's accuracy in per cent."""
    graph = load_model(model)
    reference = Interpreter(graph)
    shape = graph.tensor(graph.inputs[0]).shape
    classes = int(np.prod(graph.tensor(graph.outputs[0]).shape))
    rng = np.random.default_rng(SEED)
    rows, right = [], 0
    for i in range(max(2 * classes, LEAST_FILES)):
        x = np.clip(rng.normal(0, rng.choice([10, 40, 100]), shape), -128, 127).astype(np.int8)
        found = int(np.argmax(reference.invoke([x])[0]))
        label = found if i % 2 == 0 else i // 2 % classes
        right += label == found
        name = f"noise_{i:03d}.bin"
        sent = (x.astype(np.int16) + 128).astype(np.uint8) if unsigned else x
        (folder / name).write_bytes(sent.tobytes())
        rows.append([name, classes, label])
    write_truth(folder, rows)
    return 100 * right / len(rows)


def anomaly(model: Path, folder: Path) -> None:
    """Files of float32, each several overlapping windows; the second half of them is louder."""
    graph = load_model(model)
    values = int(np.prod(graph.tensor(graph.inputs[0]).shape))
    rng = np.random.default_rng(SEED)
    rows = []
    for i in range(LEAST_FILES):
        loud = i >= LEAST_FILES // 2
        name = f"noise_{i:03d}.bin"
        count = values + (WINDOWS - 1) * STRIDE_VALUES
        sound = rng.normal(0, 20 if loud else 4, count).astype(np.float32)
        (folder / name).write_bytes(sound.tobytes())
        rows.append([name, 2, int(loud), 4 * values, 4 * STRIDE_VALUES])
    write_truth(folder, rows)


def write_truth(folder: Path, rows: list[list[str | int]]) -> None:
    with (folder / "y_labels.csv").open("w", newline="") as f:
        csv.writer(f).writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="a model named kws_*, ic_*, vww_* or ad_*")
    parser.add_argument("folder", type=Path, help="where the benchmark's folder is made")
    given = parser.parse_args()
    kind = given.model.stem.partition("_")[0]
    if kind not in ("kws", "ic", "vww", "ad"):
        sys.exit(f"error: {given.model}: not a model of the benchmark: kws_*, ic_*, vww_*, ad_*")
    folder = given.folder / f"{kind}01"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if kind == "ad":
            anomaly(given.model, folder)
            print(folder)
        else:
            accuracy = classification(given.model, folder, unsigned=kind != "kws")
            print(f"{folder}: Top 1% must be {accuracy:.1f}")
    except ToolError as e:
        sys.exit(f"error: {e}")


if __name__ == "__main__":
    main()
