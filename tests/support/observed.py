"""The device's statistics, as Python calls them."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np

from support.meter import key_of
from tinyseal.build.firmware import ROOT
from tinyseal.build.native import compile_native
from tinyseal.build.third_party import monocypher
from tinyseal.fleet.consent import Consent, Level
from tinyseal.fleet.telemetry import read_record
from tinyseal.graph.reference_statistics import Reference
from tinyseal.package.keys import Key
from tinyseal.package.provision import StorageKey

OWNER, DEVICE_KEY, DEVICE_ID = key_of(31), key_of(32), bytes(range(16))
CELLS = 18 * 8 + 16


def signed(level: Level, sequence: int = 1, device: bytes = DEVICE_ID, owner: Key = OWNER,
           **more: Any) -> bytes:  # fmt: skip
    """A consent as the device's owner gives it."""
    return Consent(device, level, sequence, **more).sign(owner)


@functools.cache
def library() -> ctypes.CDLL:
    names = ("hal", "nv", "crypto", "services", "sim", "runtime")
    folders = [ROOT / "firmware" / name for name in names]
    curve = monocypher(ROOT / "build" / "third_party")
    parts = ("observe.c", "consent.c", "telemetry.c", "cbor.c")
    sources = [
        *(p for d in folders[1:3] for p in sorted(d.glob("*.c"))),
        *(folders[3] / name for name in parts),
        folders[4] / "flash_sim.c",
        ROOT / "tests/support/observe_driver.c",
        curve.source,
    ]
    flags = ["-shared", "-fPIC", "-fsanitize=undefined", "-fno-sanitize-recover=all"]
    loaded = ctypes.CDLL(
        str(
            compile_native(
                "observe.so", sources, folders, [curve.include_dir],
                [*flags, "-Wno-error=conversion", "-Wno-error=missing-prototypes"],
            )
        )
    )  # fmt: skip
    loaded.driver_infer.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint64]
    return loaded


class Statistics:
    """A device that is fed inputs and outputs."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        reference: Reference | None = None,
        is_signed: bool = True,
        erase_bytes: int = 4096,
        program_bytes: int = 4,
    ) -> None:
        self.reference = reference
        r = reference
        window, channels, groups = (r.window, r.channels, r.groups) if r else (0, 0, 0)
        library().driver_capsule(inputs, outputs, int(is_signed), window, channels, groups)
        for i, f in enumerate(r.features if r else ()):
            library().driver_feature(i, (ctypes.c_int16 * 7)(*f.edges), f.low, f.high)
        for i, d in enumerate(r.distributions if r else ()):
            shares = (ctypes.c_uint16 * 16)(*d.shares)
            library().driver_distribution(i, shares, (ctypes.c_uint16 * 4)(*d.limits))
        library().driver_blank(erase_bytes, program_bytes)

    def provision(self) -> None:
        assert DEVICE_KEY.private is not None
        self.set(StorageKey.DEVICE_ID, DEVICE_ID)
        self.set(StorageKey.DEVICE_KEY, DEVICE_KEY.private.private_bytes_raw())
        self.set(StorageKey.OWNER_KEY, OWNER.raw)

    def set(self, key: int, value: bytes) -> None:
        assert library().driver_set(key, value, len(value)) == 0

    def start(self, active_uw: int = 0, cause: int = 2) -> None:
        library().driver_start(int(self.reference is not None), active_uw, cause)

    def infer(self, value: np.ndarray, output: np.ndarray, ticks: int = 1000) -> bool:
        """Whether it closed a window."""
        return bool(library().driver_infer(value.tobytes(), output.tobytes(), ticks))

    def counts(self, distribution: int) -> list[int]:
        cells = (ctypes.c_uint16 * 16)()
        bins = library().driver_counts(distribution, cells)
        return list(cells)[:bins]

    def slow(self) -> list[int]:
        cells = (ctypes.c_uint16 * CELLS)()
        library().driver_slow(cells)
        return list(cells)

    def distance(self, distribution: int) -> tuple[bool, tuple[int, ...]]:
        found = (ctypes.c_uint16 * 4)()
        return bool(library().driver_distance(distribution, found)), tuple(found)

    def log_flash(self) -> bytes:
        buffer = ctypes.create_string_buffer(library().driver_log_bytes())
        library().driver_read_log(buffer)
        return buffer.raw

    def write_log(self, image: bytes) -> None:
        """As a programmer would, or time: any bytes."""
        library().driver_write_log(image)

    def mount_log(self) -> None:
        assert library().driver_mount_log() == 0

    def allow(self, data: bytes) -> int:
        return int(library().driver_allow(data, len(data)))

    @property
    def level(self) -> int:
        return int(library().driver_level())

    def raw_records(self, after: int = 0) -> list[tuple[int, bytes]]:
        out, number = [], ctypes.c_uint32(after)
        buffer = ctypes.create_string_buffer(4096)
        while True:
            size = library().driver_record(number.value, buffer, 4096, ctypes.byref(number))
            assert size >= 0
            if size == 0:
                return out
            out.append((number.value, buffer.raw[:size]))

    def records(self):
        return [read_record(data) for _, data in self.raw_records()]
