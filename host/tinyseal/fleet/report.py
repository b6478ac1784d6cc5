"""What became of a campaign, out of the database: as data, and as a page of its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Engine, select

from tinyseal.errors import UsageError
from tinyseal.fleet.charts import round_steps
from tinyseal.fleet.database import opened
from tinyseal.fleet.pages import render
from tinyseal.fleet.records import Attempt, Campaign, Member

WAITING: Final = "waiting"
CUT: Final = "cut"  # an attempt whose tool was killed

# Of the chart, in its own units.
ROW: Final = 18
LEFT: Final = 150
WIDTH: Final = 960
MIN_BAR: Final = 2.0


@dataclass(frozen=True)
class AttemptRow:
    started: datetime
    ended: datetime | None
    outcome: str
    reason: str | None
    sent_bytes: int | None
    changes: tuple[dict[str, str | None], ...]

    @property
    def seconds(self) -> float | None:
        return (self.ended - self.started).total_seconds() if self.ended else None


@dataclass(frozen=True)
class DeviceRow:
    name: str
    board: str | None
    hardware_id: str | None
    is_canary: bool
    outcome: str
    attempts: tuple[AttemptRow, ...]


@dataclass(frozen=True)
class CampaignReport:
    id: int
    name: str
    status: str
    reason: str | None
    started: datetime
    ended: datetime | None
    images: tuple[dict[str, Any], ...]
    devices: tuple[DeviceRow, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Devices by outcome, the most frequent first."""
        return dict(Counter(d.outcome for d in self.devices).most_common())

    @property
    def seconds(self) -> float | None:
        return (self.ended - self.started).total_seconds() if self.ended else None

    @property
    def sent_bytes(self) -> int:
        return sum(a.sent_bytes or 0 for d in self.devices for a in d.attempts)


def read_report(engine: Engine, name: str | None = None) -> CampaignReport:
    """The campaign of that number, or the last one of that name, or the last one. UsageError."""
    query = select(Campaign).order_by(Campaign.id.desc()).limit(1)
    if name is not None and name.isdigit():
        query = query.where(Campaign.id == int(name))
    elif name is not None:
        query = query.where(Campaign.name == name)
    with opened(engine) as session:
        campaign = session.scalars(query).first()
        if campaign is None:
            raise UsageError(f"no campaign {name}" if name else "no campaign yet")
        return _report(campaign)


def list_campaigns(engine: Engine) -> list[CampaignReport]:
    """All of them, the last one first."""
    with opened(engine) as session:
        return [_report(c) for c in session.scalars(select(Campaign).order_by(Campaign.id.desc()))]


def as_data(report: CampaignReport) -> dict[str, Any]:
    """For JSON: moments in ISO 8601, UTC."""

    def plain(value: Any) -> Any:
        if isinstance(value, datetime):
            return value.isoformat(timespec="milliseconds")
        if isinstance(value, dict):
            return {key: plain(v) for key, v in value.items()}
        return [plain(v) for v in value] if isinstance(value, list | tuple) else value

    data: dict[str, Any] = plain(asdict(report))
    more = {"counts": report.counts, "seconds": report.seconds, "sent_bytes": report.sent_bytes}
    return {**{k: v for k, v in data.items() if k != "devices"}, **more, "devices": data["devices"]}


def as_html(report: CampaignReport) -> str:
    return render("campaign.html.j2", report=report, chart=_chart(report))


def _report(campaign: Campaign) -> CampaignReport:
    return CampaignReport(
        campaign.id,
        campaign.name,
        campaign.status,
        campaign.reason,
        campaign.started,
        campaign.ended,
        tuple(
            {"file": i.file, "version": i.version, "hash": i.hash, "bytes": i.bytes}
            for i in campaign.images
        ),
        tuple(map(_device_row, campaign.members)),
    )


def _device_row(member: Member) -> DeviceRow:
    return DeviceRow(
        member.device.name,
        member.device.board,
        member.device.hardware_id,
        member.is_canary,
        member.outcome or WAITING,
        tuple(map(_attempt_row, member.attempts)),
    )


def _attempt_row(attempt: Attempt) -> AttemptRow:
    return AttemptRow(
        attempt.started,
        attempt.ended,
        attempt.outcome or CUT,
        attempt.reason,
        attempt.sent_bytes,
        tuple(
            {
                "image": c.image,
                "version_before": c.version_before,
                "hash_before": c.hash_before,
                "version_after": c.version_after,
                "hash_after": c.hash_after,
            }
            for c in attempt.changes
        ),
    )


def _chart(report: CampaignReport) -> dict[str, Any]:
    """Devices down, time across, a bar for each attempt: places of all that is drawn."""
    attempts = [a for d in report.devices for a in d.attempts]
    start = min((a.started for a in attempts), default=report.started)
    moments = [a.ended or a.started for a in attempts]
    ticks = round_steps(max((max(moments, default=start) - start).total_seconds(), 1.0))
    span = ticks[-1]
    scale = (WIDTH - LEFT - 10) / span

    def across(moment: datetime) -> float:
        return round(LEFT + (moment - start).total_seconds() * scale, 1)

    bars = []
    for row, device in enumerate(report.devices):
        for a in device.attempts:
            x = across(a.started)
            width = max(round(across(a.ended or a.started) - x, 1), MIN_BAR)
            took = "killed in it" if a.seconds is None else f"{a.seconds:.1f} s"
            said = ": ".join(filter(None, (a.outcome, a.reason)))
            bars.append(
                {
                    "x": x,
                    "y": row * ROW + 3,
                    "width": width,
                    "kind": a.outcome.replace(" ", "-"),
                    "title": f"{device.name}, {took}, {said}",
                }
            )
    return {
        "width": WIDTH,
        "height": len(report.devices) * ROW + 24,
        "left": LEFT,
        "row": ROW,
        "bars": bars,
        "ticks": [{"x": round(LEFT + t * scale, 1), "text": f"{t:,g} s"} for t in ticks],
    }
