"""What the records of the fleet say: one device, and all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Engine, select

from tinyseal.fleet.database import opened
from tinyseal.fleet.telemetry import STATISTICS, Record, StoredRecord, WatchedDevice, read_record

RECENT: Final = 3  # windows that the verdict on a device comes from
CONFIRMED: Final = 2  # of them, those that have to have drifted


@dataclass(frozen=True)
class Window:
    number: int
    pulled: datetime
    record: Record

    @property
    def worst(self) -> dict[str, float]:
        """The largest of each statistic over all distributions."""
        rows = self.record.distances or ()
        return {s: max((r[i] for r in rows), default=0.0) for i, s in enumerate(STATISTICS)}


@dataclass(frozen=True)
class Watched:
    """A device and its windows, the oldest first."""

    id: str
    board: str | None
    windows: tuple[Window, ...]
    starts: tuple[Window, ...]
    samples: int

    @property
    def queries(self) -> int:
        return sum(w.record.count or 0 for w in self.windows)

    @property
    def verdict(self) -> str:
        """`drifted` if CONFIRMED of the last RECENT windows were beyond a limit, `drifting` if
        one was; `unknown` where no window tells."""
        told = [w.record.drifted for w in self.windows if w.record.drifted is not None][-RECENT:]
        beyond = sum(d != 0 for d in told)
        if not told:
            return "unknown"
        return "drifted" if beyond >= CONFIRMED else "drifting" if beyond else "steady"

    def to_json(self) -> dict[str, Any]:
        last = self.windows[-1].record if self.windows else None
        latency = last.latency if last else None
        return {
            "device": self.id,
            "board": self.board,
            "verdict": self.verdict,
            "windows": len(self.windows),
            "queries": self.queries,
            "starts": len(self.starts),
            "faults": sum(s.record.cause == "fault" for s in self.starts),
            "samples": self.samples,
            "latency_p50": latency.percentile(50) if latency else None,
            "latency_p99": latency.percentile(99) if latency else None,
            "energy_nj": last.energy_nj if last else None,
            "worst": self.windows[-1].worst if last and last.distances else None,
            "drifted": last.drifted if last else None,
        }


def watched(engine: Engine, only: str | None = None) -> Iterator[Watched]:
    """Every device, one after the other, so that a large fleet takes no more memory than one."""
    query = select(WatchedDevice.id, WatchedDevice.board).order_by(WatchedDevice.id)
    if only is not None:
        query = query.where(WatchedDevice.id == only)
    with opened(engine) as session:
        for device, board in session.execute(query).all():
            rows = session.execute(
                select(StoredRecord.number, StoredRecord.pulled, StoredRecord.bytes)
                .where(StoredRecord.device_id == device)
                .order_by(StoredRecord.id)
            )
            read = [Window(number, pulled, read_record(data)) for number, pulled, data in rows]
            yield Watched(
                device,
                board,
                tuple(w for w in read if w.record.kind == "window"),
                tuple(w for w in read if w.record.kind == "start"),
                sum(w.record.kind == "sample" for w in read),
            )


def window_json(window: Window) -> dict[str, Any]:
    record = {k: v for k, v in asdict(window.record).items() if v is not None and k != "input"}
    return {"number": window.number, "pulled": window.pulled.isoformat(), **record}


def fleet_verdict(devices: Sequence[Watched]) -> str:
    """The worst of its devices."""
    order = ("unknown", "steady", "drifting", "drifted")
    return max((d.verdict for d in devices), key=order.index, default="unknown")
