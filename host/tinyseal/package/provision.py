"""What a board is given once: who it is, its secrets, and counters that start.

Writes flash as firmware/nv reads it (firmware/SPEC.md, "Counters and storage in flash"); tests
have the firmware's own code read it.
"""

from __future__ import annotations

import enum
import hmac
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tinyseal.board import COUNTERS, Board, Flash
from tinyseal.errors import BoardError, ImageError, UsageError
from tinyseal.package.keys import Key, Use
from tinyseal.package.mcuboot import ERASED

KV_MAGIC: Final = 0x54564B54  # "TKVT"
KV_HEADER: Final = struct.Struct("<IIII")  # magic, sequence, bytes, CRC of the records; CRC
KV_COPIES: Final = 8
KV_RECORD: Final = struct.Struct("<HH")  # key, length
MAX_KEY: Final = 0xFFFE
MAX_VALUE_BYTES: Final = 0xFFFE

COUNTER_MAGIC: Final = 0x544E4354  # "TCNT"
COUNTER_HEADER: Final = struct.Struct("<III")  # magic, sequence, base; CRC

METER_BOOK: Final = struct.Struct("<BBBBI")  # form, accounts, model's, family's, counter
METER_FORM: Final = 1
METER_NONE: Final = 0xFF
METER_TAG_BYTES: Final = 16

DEVICE_ID_BYTES: Final = 16
MAX_VENDOR_KEYS: Final = 4


class StorageKey(enum.IntEnum):
    """As firmware/nv/nv_keys.h."""

    DEVICE_ID = 1
    DEVICE_KEY = 2
    DECRYPT_KEY = 3
    VENDOR_KEYS = 4
    METER_BOOK = 5
    METER_RECEIPT = 6
    OWNER_KEY = 7
    CONSENT = 8
    PRIVACY = 9


SECRET: Final = frozenset({StorageKey.DEVICE_KEY, StorageKey.DECRYPT_KEY})


@dataclass(frozen=True)
class Identity:
    """`device_key` and `decrypt_key` are key pairs; `vendor_keys` are those whose vouchers the
    device takes."""

    device_id: bytes
    device_key: Key | None = None
    decrypt_key: Key | None = None
    vendor_keys: tuple[Key, ...] = ()
    owner_key: Key | None = None  # decides what leaves the device

    def values(self) -> dict[int, bytes]:
        """By key, as storage holds them. UsageError for what the firmware would not take."""
        if len(self.device_id) != DEVICE_ID_BYTES:
            raise UsageError(
                f"device id: has {len(self.device_id)} bytes, expected {DEVICE_ID_BYTES}"
            )
        if len(self.vendor_keys) > MAX_VENDOR_KEYS:
            raise UsageError(
                f"{len(self.vendor_keys)} vendor keys: there is room for {MAX_VENDOR_KEYS}"
            )
        values: dict[int, bytes] = {StorageKey.DEVICE_ID: self.device_id}
        if self.device_key is not None:
            values[StorageKey.DEVICE_KEY] = _secret(self.device_key, Use.SIGN)
        if self.decrypt_key is not None:
            values[StorageKey.DECRYPT_KEY] = _secret(self.decrypt_key, Use.ENCRYPT)
        if self.vendor_keys:
            values[StorageKey.VENDOR_KEYS] = b"".join(k.raw for k in self.vendor_keys)
        if self.owner_key is not None:
            values[StorageKey.OWNER_KEY] = self.owner_key.raw
        return values


def meter_book(device_key: Key, counter: int) -> bytes:
    """The device's book of prepaid queries before the first voucher, at its counter's start."""
    book = METER_BOOK.pack(METER_FORM, 0, METER_NONE, METER_NONE, counter)
    seed = _secret(device_key, Use.SIGN)
    return book + hmac.digest(seed, book, "sha256")[:METER_TAG_BYTES]


def _secret(key: Key, use: Use) -> bytes:
    if key.use is not use or not isinstance(key.private, Ed25519PrivateKey | X25519PrivateKey):
        kind = use.algorithms[0].title
        raise UsageError(f"{key.name}: expected a private key to {use.value} ({kind})")
    return key.private.private_bytes_raw()


def storage_image(board: Board, values: Mapping[int, bytes]) -> bytes:
    """The storage partition, all of it, with `values` by key. ImageError if they do not fit."""
    flash, size = _flash(board), _partition_bytes(board, "storage")
    unit, bank = flash.program_bytes, size // 2
    records_at = KV_COPIES * _round_up(KV_HEADER.size + 4, unit)
    records = b"".join(_record(key, value, unit) for key, value in sorted(values.items()))
    if len(records) > bank - records_at:
        raise ImageError(
            f"{board.name}: the values take {len(records)} B of storage, a bank has room for "
            f"{max(0, bank - records_at)}"
        )
    head = KV_HEADER.pack(KV_MAGIC, 1, len(records), zlib.crc32(records))
    head = _fill(head + zlib.crc32(head).to_bytes(4, "little"), unit)
    return ((head + head).ljust(records_at, bytes([ERASED])) + records).ljust(size, bytes([ERASED]))


def _record(key: int, value: bytes, unit: int) -> bytes:
    if not 0 <= key <= MAX_KEY or len(value) > MAX_VALUE_BYTES:
        raise ImageError(f"storage key {key}, {len(value)} B: out of range")
    return _fill(KV_RECORD.pack(key, len(value)) + value, unit)


def read_storage(board: Board, data: bytes) -> dict[int, bytes]:
    """The values in a storage partition; none if nothing was ever stored, or nothing sound."""
    flash = _flash(board)
    unit, bank = flash.program_bytes, len(data) // 2
    step = _round_up(KV_HEADER.size + 4, unit)
    newest: tuple[int, bytes] = (0, b"")
    for start in (0, bank):
        for copy in range(KV_COPIES):
            at = start + copy * step
            head = data[at : at + KV_HEADER.size]
            crc = data[at + KV_HEADER.size : at + KV_HEADER.size + 4]
            if zlib.crc32(head).to_bytes(4, "little") != crc:
                continue
            magic, sequence, size, records_crc = KV_HEADER.unpack(head)
            first = start + KV_COPIES * step
            records = data[first : first + size]
            sound = size <= bank - KV_COPIES * step and zlib.crc32(records) == records_crc
            if magic == KV_MAGIC and sound and sequence > newest[0]:
                newest = (sequence, records)
    return dict(_records(newest[1], unit))


def _records(data: bytes, unit: int) -> list[tuple[int, bytes]]:
    out, at = [], 0
    while len(data) - at >= KV_RECORD.size:
        key, size = KV_RECORD.unpack_from(data, at)
        start = at + KV_RECORD.size
        if key > MAX_KEY or size > len(data) - start:
            break
        out.append((key, data[start : start + size]))
        at += _round_up(KV_RECORD.size + size, unit)
    return out


def counter_image(board: Board, values: Mapping[str, int]) -> bytes:
    """The counter partition, all of it: every one of COUNTERS, started at its value or 0."""
    flash, size = _flash(board), _partition_bytes(board, "counter")
    out = bytearray([ERASED]) * size
    start = min(offset for offset, _ in board.counter_areas().values())
    for name, value in values.items():
        if name not in COUNTERS:
            raise UsageError(f"counter {name!r}: expected one of {', '.join(COUNTERS)}")
        if not 0 <= value < 2**32:
            raise UsageError(f"counter {name}: {value} is not from 0 to {2**32 - 1}")
    for name, (offset, _) in board.counter_areas().items():
        head = COUNTER_HEADER.pack(COUNTER_MAGIC, 1, values.get(name, 0))
        head = _fill(head + zlib.crc32(head).to_bytes(4, "little"), flash.program_bytes)
        word = _fill(struct.pack("<HH", 0, 0xFFFF), flash.program_bytes)
        out[offset - start : offset - start + len(head) + len(word)] = head + word
    return bytes(out)


def read_counter(board: Board, name: str, data: bytes) -> int:
    """What a counter in a counter partition reads; 0 if none was ever started."""
    flash = _flash(board)
    areas = board.counter_areas()
    start = min(offset for offset, _ in areas.values())
    offset, size = areas[name]
    newest: tuple[int, int] = (0, 0)
    for at in range(offset - start, offset - start + size, flash.erase_bytes):
        sector = data[at : at + flash.erase_bytes]
        magic, sequence, base = COUNTER_HEADER.unpack_from(sector)
        head = sector[: COUNTER_HEADER.size]
        crc = sector[COUNTER_HEADER.size : COUNTER_HEADER.size + 4]
        if magic != COUNTER_MAGIC or zlib.crc32(head).to_bytes(4, "little") != crc:
            continue
        deltas = _deltas(sector[_round_up(COUNTER_HEADER.size + 4, flash.program_bytes) :], flash)
        if deltas and sequence > newest[0]:
            newest = (sequence, base + deltas[-1])
    return newest[1]


def _deltas(words: bytes, flash: Flash) -> list[int]:
    step = _round_up(4, flash.program_bytes)
    pairs = (struct.unpack_from("<HH", words, at) for at in range(0, len(words) - 3, step))
    return [delta for delta, other in pairs if delta ^ other == 0xFFFF]


def is_erased(data: bytes | bytearray) -> bool:
    return data.count(ERASED) == len(data)


def _flash(board: Board) -> Flash:
    if board.flash is None:
        raise BoardError(f"{board.name}: has no [flash]; there is nothing to provision")
    return board.flash


def _partition_bytes(board: Board, role: str) -> int:
    found = next((p.bytes for p in board.partition if p.role == role), None)
    if found is None:
        raise BoardError(f'{board.name}: has no [[partition]] of role "{role}"')
    return found


def _round_up(size: int, unit: int) -> int:
    return -(-size // unit) * unit


def _fill(data: bytes, unit: int) -> bytes:
    return data.ljust(_round_up(len(data), unit), bytes([ERASED]))
