"""The file that says which devices make up a fleet, and how a campaign goes through it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from tinyseal.board import Count, Name, Text
from tinyseal.device.links import DEFAULT_BAUD, Link
from tinyseal.errors import BoardError, FleetError, UsageError
from tinyseal.strict import Strict, as_json, read_toml, shape_faults

Share = Annotated[float, Field(ge=0, le=1, description="a share from 0 to 1")]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False, description="seconds, 0 or more")]


class Entry(Strict):
    """A device that is there: give port or ble."""

    name: Name
    port: Text | None = None
    baud: Count = DEFAULT_BAUD
    ble: Text | None = None  # name or address that it advertises
    hci: Text | None = None  # controller for ble, as bumble names it; the system's own without

    def link(self) -> Link:
        if self.port is not None:
            return Link(self.port, self.baud)
        assert self.ble is not None
        return Link(self.ble, is_ble=True, hci=self.hci)


class Crowd(Strict):
    """Virtual devices, switched on for the campaign: NAME-1, NAME-2, and so on. Each keeps its
    flash in a file of the folder, so they are there again the next time, as they were."""

    name: Name
    board: Name
    count: Count
    folder: Text  # relative to the fleet file

    def names(self) -> list[str]:
        return [f"{self.name}-{i + 1}" for i in range(self.count)]


class Fleet(Strict):
    name: Name  # the campaign's as well
    parallel: Count = 8  # devices under way at a time
    canary_share: Share = 0.1  # updated first; at least one, unless it is 0
    canary_hold_seconds: Seconds = 0.0  # between them and the others; then they must still work
    max_failure_share: Share = 0.1  # of the devices that are through; more stop the campaign
    min_judged: Count = 5  # devices that must be through before that is judged
    tries: Count = 3  # for each device, where trying again may help
    retry_seconds: Seconds = 5.0  # between two of them
    device: tuple[Entry, ...] = ()
    crowd: tuple[Crowd, ...] = ()

    @property
    def names(self) -> list[str]:
        return [d.name for d in self.device] + [n for c in self.crowd for n in c.names()]

    def canaries(self) -> frozenset[str]:
        """The devices that go first, taken evenly from the list, so that each kind has its own."""
        names = self.names
        count = min(len(names), math.ceil(self.canary_share * len(names)))
        return frozenset(names[i * len(names) // count] for i in range(count))


def read_fleet(path: Path) -> Fleet:
    """UsageError if the file is not there; FleetError lists every fault: file, key, what is
    expected."""
    if not path.is_file():
        raise UsageError(f"{path}: no such fleet file")
    try:
        data = read_toml(path, str(path))
    except BoardError as e:
        raise FleetError(str(e)) from e
    faults = [*shape_faults(Fleet, data), *_sense_faults(data)]
    if faults:
        raise FleetError("\n".join(f"{path}: {fault}" for fault in faults))
    fleet = Fleet.model_validate_json(as_json(data))
    twice = [name for name, count in Counter(fleet.names).items() if count > 1]
    if twice:
        raise FleetError(f"{path}: expected different names, has {twice[0]} twice")
    return fleet


def _sense_faults(data: dict[str, Any]) -> Iterator[str]:
    listed = data.get("device", [])
    for i, entry in enumerate(listed if isinstance(listed, list) else []):
        if isinstance(entry, dict) and ("port" in entry) == ("ble" in entry):
            yield f"device[{i}]: expected one of port and ble"
        if isinstance(entry, dict) and "hci" in entry and "ble" not in entry:
            yield f"device[{i}].hci: expected only with ble"
    if not listed and not data.get("crowd"):
        yield "expected at least one [[device]] or [[crowd]]"
