"""Records of statistics: as devices write them, and as the fleet's database keeps them.

A record is a CBOR map with small numbers as keys (firmware/SPEC.md, "Records"). What a newer device
adds is kept with the bytes and passed over; what an older one does not have is None.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import cbor2
from sqlalchemy import Engine, ForeignKey, UniqueConstraint, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from tinyseal.device.smp import SmpDevice, SmpError
from tinyseal.device.smp_telemetry import (
    REASONS,
    TELEMETRY_GROUP,
    ConsentWrite,
    RecordRead,
    TelemetryError,
    TelemetryStatusRead,
    TelemetryStatusResponse,
)
from tinyseal.errors import FleetError
from tinyseal.fleet.database import Base, Utc, opened

FORM: Final = 1
MAX_RECORD_BYTES: Final = 0xFFFF
UNIT: Final = 4096  # of a distance: 1
OCTAVE_BINS: Final = 8
STATISTICS: Final = ("psi", "ks", "js", "slow")  # of classes `mix` in the place of `ks`
KINDS: Final = {1: "window", 2: "start", 3: "sample"}
CAUSES: Final = {0: "power-on", 1: "requested", 2: "fault"}


class RecordError(FleetError):
    """Bytes that are no record."""


class WatchedDevice(Base):
    """A device that records came from."""

    __tablename__ = "telemetry_device"

    id: Mapped[str] = mapped_column(primary_key=True)  # hexadecimal, as it tells
    board: Mapped[str | None]
    records: Mapped[list[StoredRecord]] = relationship(
        back_populates="device", order_by="StoredRecord.id"
    )


class StoredRecord(Base):
    """One record, as it came. Numbers begin anew when a device's flash was erased: then what has
    another content under a known number is another record."""

    __tablename__ = "telemetry_record"
    __table_args__ = (UniqueConstraint("device_id", "number", "bytes"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    device_id: Mapped[str] = mapped_column(ForeignKey("telemetry_device.id"), index=True)
    number: Mapped[int]
    pulled: Mapped[datetime] = mapped_column(Utc)
    bytes: Mapped[bytes]
    device: Mapped[WatchedDevice] = relationship(back_populates="records")


@dataclass(frozen=True)
class Latency:
    """Of a window's inferences, in seconds; `bins` by eighths of octaves from `first` on."""

    hz: int
    shortest: float
    longest: float
    mean: float
    first: int
    bins: tuple[int, ...]

    def percentile(self, percent: float) -> float:
        """From the histogram: exact to an eighth of an octave, and within what was measured."""
        wanted, seen = percent / 100 * sum(self.bins), 0
        for i, count in enumerate(self.bins):
            if count and seen + count >= wanted:
                low, high = (2 ** ((self.first + n) / OCTAVE_BINS) / self.hz for n in (i, i + 1))
                # The outer bins also have what is beyond them.
                low = max(low, self.shortest) if i else self.shortest
                high = min(high, self.longest) if i < len(self.bins) - 1 else self.longest
                return low + (high - low) * (wanted - seen) / count
            seen += count
        return self.longest


@dataclass(frozen=True)
class Moments:
    count: int
    mean: float
    variance: float
    min: float
    max: float
    bins: tuple[int, ...]


@dataclass(frozen=True)
class Record:
    """Everything a record may say; None is what it does not."""

    kind: str
    level: int
    model: str
    window: int | None = None
    count: int | None = None
    memory: Mapping[str, int] | None = None
    latency: Latency | None = None
    energy_nj: int | None = None
    features: tuple[Moments, ...] | None = None
    classes: tuple[Moments, ...] | None = None
    distances: tuple[tuple[float, ...], ...] | None = None  # as STATISTICS, of each distribution
    drifted: int | None = None  # bit i: distribution i is beyond a limit
    noised: tuple[tuple[int, ...], ...] | None = None  # classes, confidence, entropy
    epsilon: float | None = None
    unusual: int | None = None
    cause: str | None = None
    verdicts: tuple[int, ...] | None = None
    firmware: str | None = None
    input: bytes | None = None


MEMORY: Final = ("stack", "stack_bytes", "arena", "inferences", "refused")


def read_record(data: bytes) -> Record:
    """RecordError for bytes that are none, or of a form that is not known here."""
    try:
        source = io.BytesIO(data)
        fields = cbor2.CBORDecoder(source, max_depth=8).decode()
        if not isinstance(fields, dict) or source.read(1):
            raise RecordError("record: not one CBOR map")
        if fields.get(0) != FORM:
            raise RecordError(f"record: form {fields.get(0)!r}, expected {FORM}; update tinyseal")
        return _record(fields)
    except RecordError:
        raise
    except (cbor2.CBORError, LookupError, TypeError, ValueError, OverflowError) as e:
        raise RecordError(f"record: malformed: {type(e).__name__}") from e


def _record(fields: Mapping[Any, Any]) -> Record:
    count = _int(fields.get(5), 0, 0xFFFF)
    noised = fields.get(13)
    drifted, unusual = _int(fields.get(12), 0, 2**32), _int(fields.get(14), 0, 2**32)
    kind, level = _ints([fields[1], fields[2]])
    memory, distances = fields.get(6), fields.get(11)
    cause = _int(fields.get(15), 0, 2**32)
    return Record(
        kind=KINDS.get(kind, f"kind {kind}"),
        level=level,
        model=_bytes(fields[3]).hex(),
        window=_int(fields.get(4), 0, 0xFFFF),
        count=count,
        memory=dict(zip(MEMORY, _ints(memory, least=len(MEMORY)), strict=False))
        if memory is not None
        else None,
        latency=_latency(fields[7], count) if 7 in fields else None,
        energy_nj=_int(fields.get(8), 0, 2**32),
        features=tuple(_feature(f) for f in fields[9]) if 9 in fields else None,
        classes=tuple(_class(c) for c in fields[10]) if 10 in fields else None,
        distances=tuple(tuple(v / UNIT for v in _ints(d, least=len(STATISTICS))) for d in distances)
        if distances is not None
        else None,
        drifted=drifted,
        noised=tuple(tuple(_ints(n, signed=True)) for n in noised[1:]) if noised else None,
        epsilon=_ints(noised[:1], least=1)[0] / 256 if noised else None,
        unusual=unusual,
        cause=CAUSES.get(cause, str(cause)) if cause is not None else None,
        verdicts=tuple(_ints(fields[16])) if 16 in fields else None,
        firmware=_text(fields.get(17)),
        input=_bytes(fields[18]) if 18 in fields else None,
    )


def _int(value: Any, low: int, end: int) -> int | None:
    if value is not None and (type(value) is not int or not low <= value < end):
        raise RecordError(f"record: {value!r} where a number from {low} was expected")
    return value


def _ints(values: Any, signed: bool = False, least: int = 0) -> list[int]:
    """A list of numbers, `least` of them or more."""
    if not isinstance(values, list) or len(values) < least or None in values:
        raise RecordError(f"record: no list of {least} numbers or more where one was expected")
    for v in values:
        _int(v, -(2**31) if signed else 0, 2**32)
    return list(values)


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise RecordError("record: no bytes where some were expected")
    return value


def _text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise RecordError("record: no text where one was expected")
    return value


def _latency(values: Any, count: int | None) -> Latency:
    hz, shortest, longest, high, low, first = _ints(values[:6])
    bins = tuple(_ints(values[6]))
    if hz == 0 or not count or sum(bins) != count or first > 32 * OCTAVE_BINS:
        raise RecordError("record: latencies that contradict each other")
    return Latency(hz, shortest / hz, longest / hz, ((high << 32) + low) / hz / count, first, bins)


def _feature(values: Any) -> Moments:
    total, variance, low, high = _ints(values[:4], signed=True)
    bins = tuple(_ints(values[4]))
    count = sum(bins)
    return Moments(count, total / max(count, 1), variance, low, high, bins)


def _class(values: Any) -> Moments:
    total, squares, low, high = _ints(values[:4])
    bins = tuple(_ints(values[4]))
    count = sum(bins)
    mean = total / max(count, 1)
    variance = max(0.0, squares / max(count, 1) - mean * mean)
    return Moments(count, mean / 255, variance / 255**2, low / 255, high / 255, bins)


@dataclass(frozen=True)
class Pulled:
    device: str
    new: int
    newest: int
    status: TelemetryStatusResponse


async def status(device: SmpDevice) -> TelemetryStatusResponse:
    try:
        return await device.request(TelemetryStatusRead())
    except SmpError as e:
        raise explained(e) from e


async def set_consent(device: SmpDevice, consent: bytes) -> int:
    """The level that is in force then."""
    lost = device.lost
    try:
        return (await device.request(ConsentWrite(consent=consent))).level
    except SmpError as e:
        # A request whose answer got lost was sent again, and had been carried out.
        if e.group != TELEMETRY_GROUP or e.rc != TelemetryError.OLD or device.lost == lost:
            raise explained(e) from e
        return (await device.request(TelemetryStatusRead())).level


async def fetch(device: SmpDevice, after: int) -> tuple[int, bytes] | None:
    """The first record above `after`; None if there is none."""
    data, number = b"", 0
    while True:
        part = await device.request(RecordRead(after=after, off=len(data)))
        if part.number == 0:
            return None
        if part.number != number:  # the ring went on meanwhile, and that one is gone
            data, number = (part.data if part.off == 0 else b""), part.number
        elif part.off == len(data) and part.data:
            data += part.data
        else:
            raise RecordError(f"record {number}: stays at {len(data)} of {part.len} B")
        if len(data) >= part.len:
            return number, data


async def pull(device: SmpDevice, engine: Engine) -> Pulled:
    """Fetches the records that the database does not have. FleetError if the device gives none."""
    told = await status(device)
    identity = await device.identity()
    if not identity.id:
        raise FleetError("the device has no id; tinyseal provision gives it one")
    newest = _newest(engine, identity.id)
    after = newest if newest < told.next or told.next == 0 else 0  # a flash that was erased
    new = 0
    try:
        while (got := await fetch(device, after)) is not None:
            after, data = got
            new += store(engine, identity.id, identity.board, after, data)
    except SmpError as e:
        raise explained(e) from e
    return Pulled(identity.id, new, after, told)


def _newest(engine: Engine, device: str) -> int:
    query = select(StoredRecord.number).where(StoredRecord.device_id == device)
    with opened(engine) as session:
        return session.scalars(query.order_by(StoredRecord.id.desc()).limit(1)).first() or 0


def store(engine: Engine, device: str, board: str | None, number: int, data: bytes) -> bool:
    """Keeps a record; whether it was new. RecordError for bytes that are none."""
    read_record(data)
    with opened(engine) as session:
        known = session.get(WatchedDevice, device)
        if known is None:
            session.add(WatchedDevice(id=device, board=board))
        if _is_known(session, device, number, data):
            return False
        now = datetime.now(UTC)
        session.add(StoredRecord(device_id=device, number=number, pulled=now, bytes=data))
        session.commit()
    return True


def _is_known(session: Session, device: str, number: int, data: bytes) -> bool:
    query = select(func.count()).where(
        StoredRecord.device_id == device,
        StoredRecord.number == number,
        StoredRecord.bytes == data,
    )
    return bool(session.scalar(query))


def explained(error: SmpError) -> FleetError | SmpError:
    """The device's refusal in words; what is not of this group stays as it is."""
    if error.group == TELEMETRY_GROUP and error.rc in REASONS:
        return FleetError(f"the device refuses: {REASONS[TelemetryError(error.rc)]}")
    if error.is_unsupported:
        return FleetError("this device keeps no statistics: its profile has telemetry = false")
    return error
