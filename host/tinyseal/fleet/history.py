"""Updates as the fleet's database keeps them: campaigns; a single one is one of one device."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from tinyseal.device.ota import Report, outcome_of
from tinyseal.device.smp import SmpDevice
from tinyseal.errors import FleetError, ToolError
from tinyseal.fleet.database import opened
from tinyseal.fleet.records import Attempt, Campaign, Change, Device, ImageFile, Member
from tinyseal.package.update import NAMES, UpdateImage

UNFINISHED: Final = ("running", "paused")
GOOD: Final = ("updated", "unchanged")


async def kept(
    engine: Engine,
    device: SmpDevice,
    images: Sequence[UpdateImage],
    work: Callable[[], Awaitable[Report]],
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Report:
    """What `work` does to a device, kept as a campaign of its own; that of the same images is gone
    on with if it was not finished. A device that campaigns know by its hardware keeps its name."""
    hardware_id = ""
    with suppress(ToolError):  # out of reach: `work` says so
        hardware_id = (await device.identity()).id
    name = _name(engine, str(device.link), hardware_id)
    campaign = begin_campaign(engine, f"update of {name}", [name], (), images, True, clock())
    attempt = begin_attempt(engine, campaign, name, clock())
    status = "paused"  # without an end of the attempt: the tool was stopped in it
    try:
        report = await work()
        end_attempt(engine, attempt, report.outcome, None, clock(), report)
        status = "done"
        return report
    except ToolError as e:
        end_attempt(engine, attempt, outcome_of(e), str(e), clock())
        status = "incomplete"
        raise
    finally:
        end_campaign(engine, campaign, status, None, clock())


def begin_campaign(
    engine: Engine,
    name: str,
    devices: Sequence[str],
    canaries: Collection[str],
    images: Sequence[UpdateImage],
    anew: bool,
    now: datetime,
) -> int:
    """The number of the campaign to go on with, or of a new one. FleetError if one of that name
    with other images is not finished, unless `anew`."""
    wanted = {i.hash.hex() for i in images}
    with opened(engine) as session:
        last = session.scalars(
            select(Campaign).where(Campaign.name == name).order_by(Campaign.id.desc()).limit(1)
        ).first()
        if last is None or last.status == "done" or {i.hash for i in last.images} != wanted:
            if last is not None and last.status in UNFINISHED and not anew:
                raise FleetError(
                    f"campaign {last.name} with other images is not finished: go on with "
                    "those, or leave it with --new"
                )
            rows = [_image(session, i) for i in images]
            last = Campaign(name=name, status="running", started=now, images=rows)
            session.add(last)
        last.status, last.reason, last.ended = "running", None, None
        present = {m.device.name: m for m in last.members}
        for position, device in enumerate(devices):
            member = present.get(device)
            if member is None:
                member = Member(
                    device=_device(session, device),
                    position=position,
                    is_canary=device in canaries,
                )
                last.members.append(member)
            if member.outcome not in GOOD:
                member.outcome = None
        session.commit()
        return last.id


def end_campaign(
    engine: Engine, campaign_id: int, status: str, reason: str | None, now: datetime
) -> None:
    with opened(engine) as session:
        campaign = session.get_one(Campaign, campaign_id)
        campaign.status, campaign.reason, campaign.ended = status, reason, now
        session.commit()


def begin_attempt(engine: Engine, campaign_id: int, device: str, now: datetime) -> int:
    """The number of a try to bring a member of the campaign to its images."""
    with opened(engine) as session:
        member = session.scalars(
            select(Member)
            .join(Member.device)
            .where(Member.campaign_id == campaign_id, Device.name == device)
        ).one()
        attempt = Attempt(member=member, started=now)
        session.add(attempt)
        session.commit()
        return attempt.id


def end_attempt(
    engine: Engine,
    attempt_id: int,
    outcome: str,
    reason: str | None,
    now: datetime,
    report: Report | None = None,
) -> None:
    with opened(engine) as session:
        attempt = session.get_one(Attempt, attempt_id)
        attempt.ended, attempt.outcome, attempt.reason = now, outcome, reason
        attempt.member.outcome = outcome
        if report is not None:
            device = attempt.member.device
            device.board, device.hardware_id = report.board, report.device_id
            device.last_seen = attempt.ended
            attempt.sent_bytes = report.sent_bytes
            attempt.changes = _changes(report)
        session.commit()


def _name(engine: Engine, place: str, hardware_id: str) -> str:
    """What the database calls the device of that hardware; else where it is, unless another device
    was there: then what it is, as well."""
    with opened(engine) as session:
        query = select(Device).where(Device.hardware_id == hardware_id).limit(1)
        known = session.scalars(query).first() if hardware_id else None
        if known is not None:
            return known.name
        there = session.scalars(select(Device).where(Device.name == place)).first()
        is_other = there is not None and there.hardware_id not in (None, hardware_id)
        return f"{place} {hardware_id}" if is_other else place


def _image(session: Session, image: UpdateImage) -> ImageFile:
    """The row of an image, new or as it is."""
    found = session.scalars(select(ImageFile).where(ImageFile.hash == image.hash.hex())).first()
    return found or ImageFile(
        hash=image.hash.hex(),
        file=str(image.path),
        version=str(image.version),
        security_counter=image.security_counter,
        bytes=len(image.data),
    )


def _device(session: Session, name: str) -> Device:
    found = session.scalars(select(Device).where(Device.name == name)).first()
    return found or Device(name=name)


def _changes(report: Report) -> list[Change]:
    changes = []
    for number, after in report.after.items():
        before = report.before.get(number)
        if before is None or before.hash != after.hash:
            changes.append(
                Change(
                    image=NAMES[number],
                    hash_before=(before.hash or b"").hex() if before else None,
                    version_before=str(before.version) if before else None,
                    hash_after=(after.hash or b"").hex(),
                    version_after=str(after.version),
                )
            )
    return changes
