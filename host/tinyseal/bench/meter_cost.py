"""What metering takes on a virtual board: instructions, counted, and memory."""

from __future__ import annotations

import asyncio
import statistics
import struct
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tinyseal.bench.inference import PLUGINS, bench
from tinyseal.build.firmware import ROOT, Request
from tinyseal.build.scons import build
from tinyseal.build.size import measure_images
from tinyseal.codegen.generate import Terms
from tinyseal.device.client import Client, open_port
from tinyseal.device.links import Link
from tinyseal.device.smp import SmpDevice
from tinyseal.device.smp_meter import ReceiptRead, RedeemWrite
from tinyseal.errors import DeviceError
from tinyseal.graph.load import load_model
from tinyseal.graph.samples import sample_inputs
from tinyseal.package.keys import Key
from tinyseal.package.merge import place, to_hex
from tinyseal.package.provision import (
    Identity,
    StorageKey,
    counter_image,
    meter_book,
    storage_image,
)
from tinyseal.virtual.boards import power_up
from tinyseal.virtual.icount import Counts, InstructionCounter, Marks, function_ranges

QUERIES: Final = 12  # among which an erase unit is opened
PARTS: Final = ("meter", "meter_voucher", "smp_meter", "metering")
INFER_SECONDS: Final = 600.0
COUNTER_BYTES: Final = 36  # struct nv_counter where pointers have 32 bits

# Signs a voucher for a device: its id, the model's id, how many queries.
Sell = Callable[[bytes, bytes, int], bytes]


@dataclass(frozen=True)
class MeterCost:
    """Instructions of the functions with all they call."""

    board: str
    model: str
    charge: int  # one query, as most are
    opening: int  # one that opens an erase unit of the counter
    charges_per_opening: int
    amortised: float
    inference: int
    percent: float  # of the inference, amortised
    redeem: int
    receipt: int
    flash_bytes: dict[str, int]  # of the module's files
    ram_bytes: int  # besides the counter

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def meter_cost(
    request: Request, vendor: Key, sell: Sell, progress: Callable[[str], None]
) -> MeterCost:
    """Builds, runs and counts. BuildError, PlanError or DeviceError if it cannot."""
    progress("inference")
    inference = bench(request).instructions
    metered = replace(request, terms=Terms(is_metered=True))
    progress("build")
    build(metered)
    layers = [step.label for step in metered.plan().steps]
    with tempfile.TemporaryDirectory(prefix="tinyseal-meter-") as folder:
        run = _Run(metered, vendor, sell, Path(folder))
        progress("queries")
        charges = run.count("infer_times", "metering_charge", run.queries)
        progress("redeem")
        redeem = run.count("redeem", "meter_redeem", run.redeem)
        progress("receipt")
        receipt = run.count("receipt", "meter_receipt", run.receipt)
    if len(charges) != QUERIES:
        raise DeviceError(f"{request.board.name}: counted {len(charges)} queries of {QUERIES}")
    charge, opening = round(statistics.median(charges)), max(charges)
    words = run.words
    amortised = charge + (opening - charge) / words
    sizes = measure_images(metered, layers)
    flash = {name: 0 for name in PARTS}
    ram = 0
    for part in sizes.parts:
        name = part.name.removeprefix("firmware ")
        if name in flash and part.kind == "data":
            ram += part.bytes
        elif name in flash:
            flash[name] += part.bytes
    return MeterCost(
        request.board.name, request.model.stem, charge, opening, words, round(amortised, 1),
        inference, round(100 * amortised / inference, 4), max(redeem), max(receipt), flash,
        ram - COUNTER_BYTES,
    )  # fmt: skip


class _Run:
    """One virtual board after the other, each provisioned and with its counter's first erase
    unit almost full."""

    def __init__(self, request: Request, vendor: Key, sell: Sell, folder: Path) -> None:
        board = request.board
        flash = board.flash
        assert flash is not None
        self._request, self._vendor, self._sell, self._folder = request, vendor, sell, folder
        header, word = (-(-n // flash.program_bytes) * flash.program_bytes for n in (16, 4))
        self.words = (flash.erase_bytes - header) // word
        used = self.words - QUERIES // 2 - 2  # a start takes two
        private = Ed25519PrivateKey.generate()
        key = Key(private.public_key(), private, "scratch")
        self._device = bytes(16)
        values = Identity(self._device, key, vendor_keys=(vendor,)).values()
        values[StorageKey.METER_BOOK] = meter_book(key, used - 1)
        counter = bytearray(counter_image(board, {}))
        areas = board.counter_areas()
        start = areas["queries"][0] - min(offset for offset, _ in areas.values()) + header
        for i in range(used):
            pair = struct.pack("<HH", i, i ^ 0xFFFF)
            counter[start + i * word : start + i * word + 4] = pair
        images = {(i, "a"): (ROOT / request.signed(i)).read_bytes() for i in ("app", "capsule")}
        parts = place(
            board, None, images, storage=storage_image(board, values), counter=bytes(counter)
        )
        self._image = folder / "metered.hex"
        self._image.write_bytes(to_hex(parts))

    def count(
        self, outer: str, inner: str, act: Callable[[str], Coroutine[None, None, None]]
    ) -> list[int]:
        """Instructions of `inner`, each time `outer` called it."""
        ranges = function_ranges(ROOT / self._request.image("app"), (outer, inner))
        marks = Marks(ranges[outer], (ranges[inner][0],))
        with (
            InstructionCounter(marks, PLUGINS) as counter,
            power_up(
                self._request.board, ROOT / self._request.bootloader, counter.qemu_args,
                image=self._image,
            ) as machine,
        ):  # fmt: skip
            with Client(open_port(machine.port, self._request.board.console.baud)) as client:
                machine.go()
                client.boot()
            asyncio.run(act(machine.port))
            counts: list[Counts] = counter.counts()
        if not counts:
            raise DeviceError(f"{self._request.board.name}: {inner} was not counted")
        return [c.layers[0] for c in counts]

    async def queries(self, port: str) -> None:
        await self.redeem(port)
        graph = load_model(ROOT / self._request.model)
        _, inputs = sample_inputs(graph)[0]
        with Client(open_port(port, self._request.board.console.baud)) as client:
            client.sync()
            for index, value in enumerate(inputs):
                client.load(index, value.tobytes())
            for _ in range(QUERIES):
                client.infer(seconds=INFER_SECONDS)

    async def redeem(self, port: str) -> None:
        model = bytes.fromhex(load_model(ROOT / self._request.model).model_id)
        voucher = self._sell(self._device, model, 2 * QUERIES)
        async with SmpDevice(Link(port)) as device:
            await device.request(RedeemWrite(voucher=voucher))

    async def receipt(self, port: str) -> None:
        await self.redeem(port)
        async with SmpDevice(Link(port)) as device:
            await device.request(ReceiptRead(have=0))
