"""What statistics take of an inference on a virtual board: instructions, counted."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tinyseal.bench.inference import PLUGINS, bench
from tinyseal.build.firmware import ROOT, Request
from tinyseal.build.scons import build
from tinyseal.device.client import Client, open_port
from tinyseal.errors import DeviceError
from tinyseal.graph.load import load_model
from tinyseal.graph.samples import sample_inputs
from tinyseal.package.keys import Key
from tinyseal.package.merge import place, to_hex
from tinyseal.package.provision import (
    Identity,
    StorageKey,
    counter_image,
    storage_image,
)
from tinyseal.virtual.boards import power_up
from tinyseal.virtual.icount import InstructionCounter, Marks, function_ranges

INFERENCES: Final = 4
INFER_SECONDS: Final = 600.0
OUTER: Final = "infer_times"
PARTS: Final = ("telemetry_before", "telemetry_after")


# A consent to everything, signed by the owner, for the device of that id.
Allow = Callable[[bytes, Key], bytes]


@dataclass(frozen=True)
class ObserveCost:
    """Instructions of the functions with all they call."""

    board: str
    model: str
    inputs: int  # of their statistics, of one inference
    sample: int  # of what one takes besides that goes to the log; 0: none of these did
    outputs: int
    closing: int  # of what the last inference of a window takes besides: distances, the record
    window: int
    amortised: float
    inference: int
    percent: float  # of the inference, amortised

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def observe_cost(request: Request, allow: Allow, progress: Callable[[str], None]) -> ObserveCost:
    """Builds, runs and counts. BuildError, PlanError or DeviceError if it cannot."""
    progress("inference")
    inference = bench(request).instructions
    short = replace(request, window=INFERENCES)
    progress("build")
    build(short)
    counted = []
    with tempfile.TemporaryDirectory(prefix="tinyseal-observe-") as folder:
        image = _image(short, allow, Path(folder))
        for part in PARTS:
            progress(part.removeprefix("telemetry_") + " the model")
            counted.append(_count(short, image, part))
    before, after = min(counted[0]), round(statistics.median(counted[1]))
    closing = max(counted[1]) - after
    amortised = before + after + closing / request.window
    return ObserveCost(
        request.board.name, request.model.stem, before, max(counted[0]) - before, after,
        closing, request.window, round(amortised, 1), inference,
        round(100 * amortised / inference, 3),
    )  # fmt: skip


def _image(request: Request, allow: Allow, folder: Path) -> Path:
    """A board whose owner allows everything, so that windows become records."""
    private, owner = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    keys = [Key(p.public_key(), p, "scratch") for p in (private, owner)]
    device = bytes(16)
    values = Identity(device, keys[0], owner_key=keys[1]).values()
    values[StorageKey.CONSENT] = allow(device, keys[1])
    signed = {(i, "a"): (ROOT / request.signed(i)).read_bytes() for i in ("app", "capsule")}
    board = request.board
    parts = place(
        board, None, signed, storage=storage_image(board, values),
        counter=counter_image(board, {}),
    )  # fmt: skip
    image = folder / "observed.hex"
    image.write_bytes(to_hex(parts))
    return image


def _count(request: Request, image: Path, part: str) -> list[int]:
    """Instructions of `part` in each of a window's inferences."""
    ranges = function_ranges(ROOT / request.image("app"), (OUTER, part))
    marks = Marks(ranges[OUTER], (ranges[part][0],))
    _, inputs = sample_inputs(load_model(ROOT / request.model))[-1]
    with (
        InstructionCounter(marks, PLUGINS) as counter,
        power_up(
            request.board, ROOT / request.bootloader, counter.qemu_args, image=image
        ) as machine,
        Client(open_port(machine.port, request.board.console.baud)) as client,
    ):  # fmt: skip
        machine.go()
        client.boot()
        for index, value in enumerate(inputs):
            client.load(index, value.tobytes())
        for _ in range(INFERENCES):
            client.infer(seconds=INFER_SECONDS)
        counts = counter.counts()
    if len(counts) != INFERENCES:
        raise DeviceError(
            f"{request.board.name}: {part} was counted {len(counts)} times, not {INFERENCES}"
        )
    return [c.layers[0] for c in counts]
