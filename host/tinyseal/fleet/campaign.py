"""Brings a fleet to a set of images: canaries first, then the others, many at a time.

All that has happened is in the database before the next thing does, so a campaign that was paused,
or whose tool was killed, goes on where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from tinyseal.device.links import Link
from tinyseal.device.ota import FAILED, Silent, Watcher, check, outcome_of, update
from tinyseal.device.smp import SmpDevice
from tinyseal.errors import ToolError
from tinyseal.fleet.database import opened
from tinyseal.fleet.fleet_file import Fleet
from tinyseal.fleet.history import (
    GOOD,
    begin_attempt,
    begin_campaign,
    end_attempt,
    end_campaign,
)
from tinyseal.fleet.records import Campaign, Device, Member
from tinyseal.package.update import UpdateImage

WORTH_A_RETRY: Final = ("out of reach", FAILED)
# A device that is away says nothing about the images.
COUNTS_AS_FAILURE: Final = (FAILED, "refused", "reverted", "in doubt")


class Audience(Protocol):
    """Who is told how the campaign goes."""

    def began(self, device: str) -> None: ...
    def moved(self, device: str, done: int, total: int) -> None: ...
    def ended(self, device: str, outcome: str, reason: str | None) -> None: ...
    def said(self, text: str) -> None: ...


@dataclass
class _Watch(Silent):
    """Passes on how far one device is."""

    device: str
    audience: Audience

    def sent(self, file: str, size: int, done: int, resumed: int) -> None:
        self.audience.moved(self.device, done, size)


@dataclass
class Runner:
    """A campaign under way. `pause()` lets it end with what is under way."""

    engine: Engine
    fleet: Fleet
    links: Mapping[str, Link]
    images: Sequence[UpdateImage]
    audience: Audience
    anew: bool = False  # leave an unfinished campaign with other images as it is
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    campaign_id: int = 0
    _paused: bool = False
    _stopped: str | None = None  # why
    _under_way: set[str] = field(default_factory=set)

    def pause(self) -> int:
        """No device begins any more. How many are under way."""
        self._paused = True
        return len(self._under_way)

    async def run(self) -> int:
        """The campaign's number in the database; its status is there. FleetError if a campaign of
        that name with other images is not finished."""
        self.campaign_id = self._open()
        try:
            if not self._canaries_passed():
                await self._canaries()
            if self._goes_on:
                await self._all(self._waiting(is_canary=False))
        except BaseException:
            self._close("paused")
            raise
        self._close(self._status())
        return self.campaign_id

    @property
    def _goes_on(self) -> bool:
        return not self._paused and self._stopped is None

    async def _canaries(self) -> None:
        """Every one of them must get there, and still work when the others begin."""
        await self._all(self._waiting(is_canary=True))
        if self._paused:
            return
        bad = [name for name, outcome in self._outcomes(True).items() if outcome not in GOOD]
        if bad:
            self._stopped = f"canary {', '.join(bad)} did not take the update"
            return
        if self.fleet.canary_share:
            self.audience.said(f"canaries updated; {self.fleet.canary_hold_seconds:g} s on hold")
            await self._hold(self.fleet.canary_hold_seconds)
            if self._paused:
                return
            sick = [n for n in self._outcomes(True) if not await self._is_well(n)]
            if sick:
                self._stopped = f"canary {', '.join(sick)} does not work any more"
                return
        with opened(self.engine) as session:
            self._campaign(session).canaries_passed = True
            session.commit()

    async def _hold(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not self._paused and loop.time() < deadline:
            await asyncio.sleep(min(0.2, seconds))

    async def _is_well(self, name: str) -> bool:
        try:
            async with SmpDevice(self.links[name]) as device:
                await check(device, self.images)
        except ToolError as e:
            self.audience.said(f"{name}: {e}")
            return False
        return True

    async def _all(self, names: Iterable[str]) -> None:
        gate = asyncio.Semaphore(self.fleet.parallel)

        async def one(name: str) -> None:
            async with gate:
                if self._goes_on:
                    await self._device(name)

        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(one(name))

    async def _device(self, name: str) -> None:
        """A device's attempts, until one is good, none helps, or there were enough."""
        self._under_way.add(name)
        self.audience.began(name)
        outcome, reason = FAILED, None
        for left in range(self.fleet.tries - 1, -1, -1):
            outcome, reason = await self._attempt(name)
            if outcome not in WORTH_A_RETRY or not left or not self._goes_on:
                break
            await self._hold(self.fleet.retry_seconds)
        self._under_way.discard(name)
        self.audience.ended(name, outcome, reason)
        self._judge()

    async def _attempt(self, name: str) -> tuple[str, str | None]:
        attempt = begin_attempt(self.engine, self.campaign_id, name, self.clock())
        watch: Watcher = _Watch(name, self.audience)
        try:
            async with SmpDevice(self.links[name]) as device:
                report = await update(device, self.images, watch)
        except ToolError as e:
            end_attempt(self.engine, attempt, outcome_of(e), str(e), self.clock())
            return outcome_of(e), str(e)
        end_attempt(self.engine, attempt, report.outcome, None, self.clock(), report)
        return report.outcome, None

    def _judge(self) -> None:
        """Stops where too many of those that are through have failed."""
        through = [o for o in self._outcomes(None).values() if o is not None]
        failures = sum(o in COUNTS_AS_FAILURE for o in through)
        if (
            self._stopped is None
            and len(through) >= self.fleet.min_judged
            and failures > self.fleet.max_failure_share * len(through)
        ):
            self._stopped = (
                f"{failures} of {len(through)} devices failed, more than "
                f"{self.fleet.max_failure_share:.0%}"
            )

    def _status(self) -> str:
        if self._stopped is not None:
            return "stopped"
        outcomes = self._outcomes(None).values()
        if self._paused and any(o not in GOOD for o in outcomes):
            return "paused"
        return "done" if all(o in GOOD for o in outcomes) else "incomplete"

    # The database, from here on.

    def _open(self) -> int:
        """The campaign to go on with, or a new one."""
        fleet = self.fleet
        return begin_campaign(
            self.engine,
            fleet.name,
            fleet.names,
            fleet.canaries(),
            self.images,
            self.anew,
            self.clock(),
        )

    def _close(self, status: str) -> None:
        end_campaign(self.engine, self.campaign_id, status, self._stopped, self.clock())

    def _campaign(self, session: Session) -> Campaign:
        return session.get_one(Campaign, self.campaign_id)

    def _canaries_passed(self) -> bool:
        with opened(self.engine) as session:
            return self._campaign(session).canaries_passed

    def _outcomes(self, is_canary: bool | None) -> dict[str, str | None]:
        """By device; of canaries, of the others, or of all."""
        wanted = select(Device.name, Member.outcome).join(Member.device)
        wanted = wanted.where(Member.campaign_id == self.campaign_id).order_by(Member.position)
        if is_canary is not None:
            wanted = wanted.where(Member.is_canary == is_canary)
        with opened(self.engine) as session:
            return {name: outcome for name, outcome in session.execute(wanted)}

    def _waiting(self, is_canary: bool) -> list[str]:
        outcomes = self._outcomes(is_canary)
        return [n for n, outcome in outcomes.items() if outcome is None and n in self.links]
