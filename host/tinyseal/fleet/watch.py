"""What the records of the fleet say: one device, and all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Engine, func, select

from tinyseal.fleet.database import opened
from tinyseal.fleet.telemetry import STATISTICS, Record, StoredRecord, WatchedDevice, read_record

RECENT: Final = 3  # windows that the verdict on a device comes from
CONFIRMED: Final = 2  # of them, those that have to have drifted
VERDICTS: Final = ("unknown", "steady", "drifting", "drifted")  # the worst last


@dataclass(frozen=True)
class Window:
    number: int
    pulled: datetime
    record: Record

    @property
    def worst(self) -> dict[str, float]:
        """The largest of each statistic over all distributions: KS of features, mix of classes."""
        rows = self.record.distances or ()
        worst = {s: max((r[i] for r in rows), default=0.0) for i, s in enumerate(STATISTICS)}
        ks = STATISTICS.index("ks")
        worst["ks"] = max((r[ks] for r in rows[:-1]), default=0.0)
        return {**worst, "mix": rows[-1][ks] if rows else 0.0}

    @property
    def confidence(self) -> float | None:
        """Mean over all classes, 0 to 1."""
        classes = self.record.classes or ()
        total = sum(c.count for c in classes)
        return sum(c.mean * c.count for c in classes) / total if total else None

    def latency(self, percent: float) -> float | None:
        """Seconds."""
        latency = self.record.latency
        return latency.percentile(percent) if latency else None


@dataclass(frozen=True)
class Watched:
    """A device and its windows, the oldest first."""

    id: str
    board: str | None
    windows: tuple[Window, ...]
    starts: tuple[Window, ...]
    samples: int

    @property
    def last(self) -> Window | None:
        return self.windows[-1] if self.windows else None

    @property
    def queries(self) -> int:
        return sum(w.record.count or 0 for w in self.windows)

    @property
    def beyond(self) -> int | None:
        """Of the last RECENT windows that tell, how many were beyond a limit."""
        told = [w.record.drifted for w in self.windows if w.record.drifted is not None][-RECENT:]
        return sum(d != 0 for d in told) if told else None

    @property
    def verdict(self) -> str:
        """`drifted` if CONFIRMED of the last windows were beyond a limit, `drifting` if
        one was; `unknown` where no window tells."""
        beyond = self.beyond
        if beyond is None:
            return "unknown"
        return "drifted" if beyond >= CONFIRMED else "drifting" if beyond else "steady"

    @property
    def faults(self) -> int:
        return sum(s.record.cause == "fault" for s in self.starts)

    @property
    def energy_nj(self) -> int | None:
        return self.last.record.energy_nj if self.last else None

    @property
    def unusual(self) -> int | None:
        return self.last.record.unusual if self.last else None

    @property
    def confidence(self) -> float | None:
        return self.last.confidence if self.last else None

    @property
    def stack(self) -> float | None:
        """The share of the stack that was ever used."""
        memory = self.last.record.memory if self.last else None
        return memory["stack"] / memory["stack_bytes"] if memory and memory["stack_bytes"] else None

    @property
    def model(self) -> str | None:
        """First bytes of its id, hexadecimal."""
        told = max((*self.windows, *self.starts), key=lambda w: (w.pulled, w.number), default=None)
        return told.record.model if told else None

    @property
    def firmware(self) -> str | None:
        return self.starts[-1].record.firmware if self.starts else None

    def worst(self, statistic: str) -> float | None:
        last = self.last
        return last.worst[statistic] if last and last.record.distances else None

    def latency(self, percent: float) -> float | None:
        return self.last.latency(percent) if self.last else None

    @property
    def pulled(self) -> datetime | None:
        return max((w.pulled for w in (*self.windows, *self.starts)), default=None)

    def silent(self, now: datetime) -> float | None:
        """Hours since a record came."""
        return (now - self.pulled).total_seconds() / 3600 if self.pulled else None

    def to_json(self) -> dict[str, Any]:
        last = self.last
        return {
            "device": self.id,
            "board": self.board,
            "model": self.model,
            "firmware": self.firmware,
            "verdict": self.verdict,
            "windows": len(self.windows),
            "queries": self.queries,
            "starts": len(self.starts),
            "faults": self.faults,
            "samples": self.samples,
            "confidence": self.confidence,
            "latency_p50": self.latency(50),
            "latency_p99": self.latency(99),
            "energy_nj": self.energy_nj,
            "worst": last.worst if last and last.record.distances else None,
            "drifted": last.record.drifted if last else None,
            "pulled": self.pulled.isoformat() if self.pulled else None,
        }


class Fleet:
    """All devices, or one, as the database has them. Devices of which nothing came since the last
    look are not read again."""

    def __init__(self, engine: Engine, only: str | None = None) -> None:
        self._engine, self._only = engine, only
        self._known: dict[str, tuple[int, Watched]] = {}  # with the newest row

    def look(self) -> list[Watched]:
        query = (
            select(WatchedDevice.id, WatchedDevice.board, func.max(StoredRecord.id))
            .join(StoredRecord, StoredRecord.device_id == WatchedDevice.id)
            .group_by(WatchedDevice.id, WatchedDevice.board)
            .order_by(WatchedDevice.id)
        )
        if self._only is not None:
            query = query.where(WatchedDevice.id == self._only)
        with opened(self._engine) as session:
            for device, board, newest in session.execute(query).all():
                if device in self._known and self._known[device][0] == newest:
                    continue
                rows = session.execute(
                    select(StoredRecord.number, StoredRecord.pulled, StoredRecord.bytes)
                    .where(StoredRecord.device_id == device)
                    .order_by(StoredRecord.id)
                )
                read = [Window(number, pulled, read_record(data)) for number, pulled, data in rows]
                self._known[device] = (
                    newest,
                    Watched(
                        device,
                        board,
                        tuple(w for w in read if w.record.kind == "window"),
                        tuple(w for w in read if w.record.kind == "start"),
                        _samples([w.record.kind for w in read]),
                    ),
                )
        return [w for _, w in sorted(self._known.values(), key=lambda k: k[1].id)]


def _samples(kinds: Sequence[str]) -> int:
    """Windows with a sample: of several that follow each other the last one counts."""
    return sum(
        kind == "sample" and after != "sample"
        for kind, after in zip(kinds, (*kinds[1:], ""), strict=True)
    )


def window_json(window: Window) -> dict[str, Any]:
    record = {k: v for k, v in asdict(window.record).items() if v is not None and k != "input"}
    return {"number": window.number, "pulled": window.pulled.isoformat(), **record}


def fleet_verdict(devices: Sequence[Watched]) -> str:
    """The worst of its devices."""
    return max((d.verdict for d in devices), key=VERDICTS.index, default="unknown")
