"""What was measured of kernels on a board: costs of layers, by their shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal

from tinyseal.graph.lowering import Params

# Fields of Params that change no kernel's work, or by too little: values, not sizes.
Unit = Literal["instructions", "cycles"]  # cycles: where nothing counts instructions
VALUES: Final = frozenset(
    ("in_offset", "filter_offset", "out_offset", "a_offset", "b_offset", "act_min", "act_max")
)


@dataclass(frozen=True)
class Measured:
    """Of one layer shape: the kernel to take, and what each candidate was measured to cost."""

    choice: str  # a kernel's function
    costs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Tuning:
    """By `shape_key`; of one board and one compiler."""

    layers: Mapping[str, Measured] = field(default_factory=dict)
    unit: Unit = "instructions"

    def of(self, params: Params) -> Measured | None:
        return self.layers.get(shape_key(params)) if self.layers else None


NO_TUNING: Final = Tuning()


def shape_key(params: Params) -> str:
    """The layer's kind and sizes in a line: `Conv2D batches=1 in_h=49 in_w=10 ...`."""
    parts = [type(params).__name__]
    for entry in fields(params):  # type: ignore[arg-type]  # every Params is a dataclass
        value = getattr(params, entry.name)
        if entry.name not in VALUES:
            parts += _sizes(entry.name, value)
    return " ".join(parts)


def _sizes(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"{name}={int(value)}"]
    if isinstance(value, int):
        return [f"{name}={value}"]
    if isinstance(value, tuple) and all(isinstance(v, int) for v in value):
        return [f"{name}={'x'.join(map(str, value)) or '1'}"]
    dims = getattr(value, "dims", None)  # of a Walk
    return [] if dims is None else _sizes(name, tuple(dims))
