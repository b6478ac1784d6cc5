"""Alerts by rule: a measure of a device, a comparison and a number."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from tinyseal.errors import UsageError
from tinyseal.fleet.watch import CONFIRMED, Watched

# Each with what it is, in the words of --help. None: nothing is known of it.
MEASURES: Final[Mapping[str, tuple[str, Callable[[Watched, datetime], float | None]]]] = {
    "drift": ("of the last 3 windows, those beyond a limit", lambda d, _: d.beyond),
    "psi": ("largest PSI of the last window", lambda d, _: d.worst("psi")),
    "ks": ("largest KS distance", lambda d, _: d.worst("ks")),
    "js": ("largest JS distance", lambda d, _: d.worst("js")),
    "slow": ("largest PSI of the fading histogram", lambda d, _: d.worst("slow")),
    "mix": ("PSI of the classes against the device's own past", lambda d, _: d.worst("mix")),
    "confidence": ("mean of the last window, 0 to 1", lambda d, _: d.confidence),
    "latency_p50": ("seconds, of the last window", lambda d, _: d.latency(50)),
    "latency_p99": ("seconds, of the last window", lambda d, _: d.latency(99)),
    "energy_nj": ("of an inference of the last window", lambda d, _: d.energy_nj),
    "unusual": ("inputs of the last window that training had none like", lambda d, _: d.unusual),
    "stack": ("most ever used of the stack, 0 to 1", lambda d, _: d.stack),
    "starts": ("since records are kept", lambda d, _: len(d.starts)),
    "faults": ("starts after a fault", lambda d, _: d.faults),
    "silent": ("hours since a record came", lambda d, now: d.silent(now)),
}
COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_FORM: Final = re.compile(r"\s*([a-z_0-9]+)\s*(>=|<=|>|<)\s*([-+0-9.eE]+)\s*")


@dataclass(frozen=True)
class Rule:
    measure: str
    comparison: str
    limit: float

    def __str__(self) -> str:
        return f"{self.measure} {self.comparison} {self.limit:g}"


@dataclass(frozen=True)
class Alert:
    device: str
    rule: str
    value: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


USUAL: Final = (Rule("drift", ">=", CONFIRMED), Rule("faults", ">", 0))


def parse_rule(text: str) -> Rule:
    """`psi > 0.25` and the like. UsageError."""
    match = _FORM.fullmatch(text)
    try:
        measure, comparison, limit = match.groups() if match else ("", "", "")
        number = float(limit)
    except ValueError as e:
        raise UsageError(f"rule {text!r}: expected as 'psi > 0.25', with >, >=, < or <=") from e
    if measure not in MEASURES:
        raise UsageError(f"rule {text!r}: no measure {measure!r}; there are {', '.join(MEASURES)}")
    return Rule(measure, comparison, number)


def alerts(devices: Sequence[Watched], rules: Sequence[Rule], now: datetime) -> list[Alert]:
    """What is not known of a device alerts nobody."""
    found = []
    for device in devices:
        for rule in rules:
            value = MEASURES[rule.measure][1](device, now)
            if value is not None and COMPARISONS[rule.comparison](value, rule.limit):
                found.append(Alert(device.id, str(rule), round(value, 6)))
    return found
