"""How far estimated cycles are from counted ones, layer by layer.

    .venv/bin/python examples/cycles/measure.py [KERNELS...]

Keyword spotting on a Cortex-M0+: rp2040js runs the firmware of `rp2040_pico` and counts cycles
(without the wait for flash that a real chip adds); QEMU runs the same kernels on `qemu-m0`, and the
instructions it executes are weighted by the Cortex-M0+'s timings in host/tinyseal/plan/cycles.py.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tinyseal.bench.inference import count_layers
from tinyseal.bench.tune import timed
from tinyseal.build.firmware import Request
from tinyseal.build.scons import build
from tinyseal.errors import ToolError
from tinyseal.profiles import load_board

MODEL = Path("models/kws_int8.tflite")


def compare(kernels: str) -> list[tuple[str, str, int, float]]:
    """(layer, kernel, counted, estimated) of each layer."""
    real = Request(load_board("rp2040_pico"), MODEL, kernels)
    twin = Request(load_board("qemu-m0"), MODEL, kernels)
    for request in (real, twin):
        build(request)
    plan, plan_twin = real.plan(), twin.plan()
    functions = [step.kernel.function for step in plan.steps]
    if functions != [step.kernel.function for step in plan_twin.steps]:
        raise ToolError(f"kernels={kernels}: the two boards take different kernels")
    counted = timed(real, plan)
    _, _, estimated = count_layers(twin, plan_twin, latest=1, timings_of=real.board.core)
    assert estimated is not None
    labels = [step.label for step in plan.steps]
    return list(zip(labels, functions, counted, estimated[1:], strict=True))


def main(kernel_sets: Sequence[str]) -> None:
    print("| layer | kernel | counted | estimated | error |\n|---|---|---:|---:|---:|")
    for kernels in kernel_sets or ("reference", "tuned"):
        rows = compare(kernels)
        total = ("whole", kernels, sum(r[2] for r in rows), sum(r[3] for r in rows))
        for label, function, counted, estimated in (*rows, total):
            error = estimated / counted - 1
            print(f"| {label} | {function} | {counted:,} | {estimated:,.0f} | {error:+.1%} |")


if __name__ == "__main__":
    main(sys.argv[1:])
