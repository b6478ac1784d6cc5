"""A ledger of any size, with faults in it that are known, reconciled: how long, how much memory.

The receipts are whole but for their signatures, which are checked when a receipt comes in and not
again; what checking them takes is measured apart.
"""

from __future__ import annotations

import hashlib
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine, insert

from tinyseal.fleet.ledger import (
    Ledger,
    MeterDevice,
    MeterReceipt,
    MeterSubject,
    MeterVoucher,
)
from tinyseal.fleet.receipts import ACCOUNT, CONTEXT, FORM, NO_ANCHOR, NONE, RECEIPT
from tinyseal.fleet.reconcile import Kind, reconcile
from tinyseal.package.keys import Key

ROWS: Final = 20_000  # inserted at a time
FAULTY: Final = 100  # one device in so many has a fault, of all kinds by turns
FAULTS: Final = (Kind.GAP, Kind.ROLLBACK, Kind.CLONE, Kind.REPLAY, Kind.COUNTER)
MEASURED: Final = 500  # receipts stored one by one
SUBJECT: Final = hashlib.sha256(b"tinyseal meter bench").digest()


@dataclass(frozen=True)
class BenchResult:
    devices: int
    receipts: int
    vouchers: int
    fill_seconds: float
    reconcile_seconds: float
    reconcile_cpu_seconds: float  # what of it this process computed; others do not disturb it
    receipts_per_second: int
    peak_megabytes: float  # of the whole process
    faults: int  # devices with one
    found: int  # of them, those found with the right kind
    false_alarms: int
    stored_per_second: int  # receipts verified and stored one by one


def bench(
    engine: Engine, devices: int, receipts: int, progress: Callable[[str, int], None]
) -> BenchResult:
    """Fills an empty ledger and reconciles it."""
    each = max(4, receipts // devices)
    started = time.monotonic()
    expected = _fill(engine, devices, each, lambda done: progress("filling", done))
    filled = time.monotonic()
    busy = time.process_time()
    result = reconcile(engine, progress=lambda done: progress("reconciling", done))
    busy = time.process_time() - busy
    ended = time.monotonic()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {(f.device, f.kind) for f in result.findings}
    right = expected & found
    strange = {device for device, _ in found} - {device for device, _ in expected}
    return BenchResult(
        result.devices,
        result.receipts,
        result.vouchers,
        round(filled - started, 1),
        round(ended - filled, 1),
        round(busy, 1),
        round(result.receipts / (ended - filled)),
        round(peak, 1),
        len(expected),
        len(right),
        len(strange),
        _store_rate(engine),
    )


def _fill(
    engine: Engine, devices: int, each: int, progress: Callable[[int], None]
) -> set[tuple[str, Kind]]:
    expected = set()
    known: list[dict[str, Any]] = []
    vouchers: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    done = 0
    with engine.begin() as c:
        c.execute(insert(MeterSubject).values(number=1, id=SUBJECT, name="bench", price=1000))
        for number in range(1, devices + 1):
            device = hashlib.sha256(number.to_bytes(8, "big")).digest()[:16]
            fault = FAULTS[number // FAULTY % len(FAULTS)] if number % FAULTY == 0 else None
            if fault:
                expected.add((device.hex(), fault))
            known.append(
                {
                    "number": number, "id": device, "public_key": bytes(32), "name": "",
                    "newest": each,
                }
            )  # fmt: skip
            vouchers.append(
                {
                    "device": number, "subject": 1, "serial": 1, "quantity": 100 * each,
                    "not_after": None, "price": 100_000 * each, "currency": "EUR", "issued": 0,
                    "redeemed": None, "data": bytes(77),
                }
            )  # fmt: skip
            rows += _receipts(number, device, each, fault)
            if len(rows) >= ROWS or number == devices:
                for table, batch in ((MeterDevice, known), (MeterVoucher, vouchers),
                                     (MeterReceipt, rows)):  # fmt: skip
                    c.execute(insert(table), batch)
                    done += len(batch) if batch is rows else 0
                    batch.clear()
                progress(done)
    return expected


def _receipts(
    number: int, device: bytes, each: int, fault: Kind | None
) -> Iterator[dict[str, Any]]:
    """The receipts of one device. In the middle something happens if it is to."""
    previous, counter, middle = bytes(32), 0, each // 2
    tips = [(previous, counter)]
    for sequence in range(1, each + 1):
        if fault is Kind.GAP and sequence == middle:
            previous, counter = _content(device, sequence, counter + 10, previous, 100 * each)[1:]
            continue
        counter += 10
        if fault is Kind.COUNTER and sequence == middle:
            counter -= 15
        credited = 100 * each + (1 if fault is Kind.REPLAY and sequence >= middle else 0)
        content, previous, counter = _content(device, sequence, counter, previous, credited)
        yield _row(number, sequence, 1000 * sequence, content)
        tips.append((previous, counter))
        if fault in (Kind.ROLLBACK, Kind.CLONE) and sequence == middle:
            # The same number again, from the receipt before: another receipt.
            before, count = tips[-2]
            content, other, count = _content(device, sequence, count + 7, before, credited)
            yield _row(number, sequence, 1000 * sequence + 500, content)
            if fault is Kind.ROLLBACK:
                previous, counter = other, count


def _content(
    device: bytes, sequence: int, counter: int, previous: bytes, credited: int
) -> tuple[bytes, bytes, int]:
    """A receipt without its signature, its hash, its counter."""
    content = RECEIPT.pack(
        FORM, 1, 0, NONE, device, sequence, counter, NO_ANCHOR, previous
    ) + ACCOUNT.pack(SUBJECT, credited, counter, 1, 0)
    return content, hashlib.sha256(content).digest(), counter


def _row(number: int, sequence: int, received: int, content: bytes) -> dict[str, Any]:
    return {
        "device": number,
        "sequence": sequence,
        "hash": hashlib.sha256(content).digest(),
        "received": received,
        "data": content + bytes(64),
    }


def _store_rate(engine: Engine) -> int:
    """Receipts a second that come in one by one, each verified and a transaction of its own."""
    private = Ed25519PrivateKey.from_private_bytes(bytes(32))
    key = Key(private.public_key(), private, "bench")
    device = bytes(16)
    ledger = Ledger(engine)
    ledger.enroll(device, key.raw)
    previous, counter = bytes(32), 0
    signed = []
    for sequence in range(1, MEASURED + 1):
        content, previous, counter = _content(device, sequence, counter + 1, previous, MEASURED)
        signed.append(content + private.sign(CONTEXT + content))
    started = time.monotonic()
    for data in signed:
        ledger.store(data)
    return round(MEASURED / (time.monotonic() - started))
