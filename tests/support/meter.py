"""The device's meter over a simulated flash, as Python calls it; and keys to go with it."""

from __future__ import annotations

import ctypes
import functools
import hmac

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tinyseal.build.firmware import ROOT
from tinyseal.build.native import compile_native
from tinyseal.build.third_party import monocypher
from tinyseal.fleet.receipts import Receipt, read_receipt
from tinyseal.fleet.vouchers import Voucher
from tinyseal.package.keys import Key
from tinyseal.package.provision import StorageKey, meter_book

(
    EMPTY,
    WORN,
    RECORDS,
    ROLLBACK,
    FORM,
    TYPED,
    DEVICE,
    MODEL,
    SIGNATURE,
    USED,
    LATE,
    FULL,
    IDENTITY,
) = range(-60, -73, -1)
NO_FAMILY = bytes(32)


def key_of(number: int) -> Key:
    private = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    return Key(private.public_key(), private, f"key {number}")


@functools.cache
def library() -> ctypes.CDLL:
    folders = [ROOT / "firmware" / name for name in ("hal", "nv", "crypto", "services", "sim")]
    curve = monocypher(ROOT / "build" / "third_party")
    sources = [
        *(p for d in folders[1:3] for p in sorted(d.glob("*.c"))),
        *(folders[3] / name for name in ("meter.c", "meter_voucher.c")),
        folders[4] / "flash_sim.c",
        ROOT / "tests/support/meter_driver.c",
        curve.source,
    ]
    flags = ["-shared", "-fPIC", "-fsanitize=undefined", "-fno-sanitize-recover=all"]
    return ctypes.CDLL(
        str(
            compile_native(
                "meter.so", sources, folders, [curve.include_dir],
                [*flags, "-Wno-error=conversion", "-Wno-error=missing-prototypes"],
            )
        )
    )  # fmt: skip


class Device:
    """A provisioned device, blank but for that."""

    def __init__(
        self,
        number: int = 1,
        vendors: tuple[Key, ...] = (key_of(100),),
        erase_bytes: int = 4096,
        program_bytes: int = 4,
        counter: int = 0,
        endurance: int = 10_000,
        otp: tuple[int, int] = (0, 1),  # bits, queries per bit
    ) -> None:
        self.id = bytes([number]) * 16
        self.key = key_of(number)
        self.endurance, self.otp = endurance, otp
        assert library().driver_blank(erase_bytes, program_bytes, counter) == 0
        self.set(StorageKey.DEVICE_ID, self.id)
        assert self.key.private is not None
        self.set(StorageKey.DEVICE_KEY, self.key.private.private_bytes_raw())
        self.set(StorageKey.VENDOR_KEYS, b"".join(k.raw for k in vendors))
        self.set(StorageKey.METER_BOOK, meter_book(self.key, counter))

    def set(self, key: int, value: bytes) -> None:
        assert library().driver_set(key, value, len(value)) == 0

    def get(self, key: int) -> bytes:
        buffer = ctypes.create_string_buffer(512)
        size = library().driver_get(key, buffer, 512)
        assert size >= 0
        return buffer.raw[:size]

    def tag(self, record: bytes) -> bytes:
        """A record as the device itself would tag it."""
        assert self.key.private is not None
        return record + hmac.digest(self.key.private.private_bytes_raw(), record, "sha256")[:16]

    def mount(self, model: bytes, family: bytes = NO_FAMILY) -> int:
        bits, each = self.otp
        return int(library().driver_mount(model, family, self.endurance, each, bits))

    def charge(self) -> int:
        return int(library().driver_charge())

    def reserve(self, count: int) -> int:
        return int(library().driver_reserve(count))

    @property
    def balance(self) -> int:
        return int(library().driver_balance())

    @property
    def counter(self) -> int:
        return int(library().driver_counter())

    def redeem(self, data: bytes) -> int:
        return int(library().driver_redeem(data, len(data)))

    def redeem_text(self, text: str) -> tuple[int, int]:
        group = ctypes.c_uint32()
        return int(library().driver_redeem_text(text.encode(), ctypes.byref(group))), group.value

    def receipt_bytes(self, have: int) -> bytes:
        buffer = ctypes.create_string_buffer(320)
        size = library().driver_receipt(have, buffer)
        assert size > 0, size
        return buffer.raw[:size]

    def receipt(self, have: int) -> Receipt:
        return read_receipt(self.receipt_bytes(have), self.key.raw)

    def flash(self) -> bytes:
        buffer = ctypes.create_string_buffer(library().driver_flash_bytes())
        library().driver_read(buffer)
        return buffer.raw

    def write_flash(self, image: bytes) -> None:
        library().driver_write(image)


def voucher(
    device: Device,
    subject: bytes,
    serial: int = 1,
    quantity: int = 10,
    not_after: int | None = None,
    vendor: Key | None = None,
) -> bytes:
    return Voucher(device.id, subject, serial, quantity, not_after).sign(vendor or key_of(100))
