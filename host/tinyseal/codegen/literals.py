"""Jinja filters: numpy values as C text."""

from __future__ import annotations

import math

import numpy as np

from tinyseal.graph.lowering import Array


def c_ints(data: Array, per_line: int = 16) -> str:
    """Comma-separated integers, wrapped; INT32_MIN is written so that C reads it as an int."""
    values = [c_int(v) for v in np.ravel(data).tolist()]
    lines = (values[i : i + per_line] for i in range(0, len(values), per_line))
    return ",\n    ".join(", ".join(line) for line in lines)


def c_int(value: int) -> str:
    return "INT32_MIN" if value == -(2**31) else str(int(value))


def c_hex(value: int) -> str:
    """An address or size in hexadecimal, at least 8 digits."""
    return f"0x{value:08x}"


def c_float(value: float) -> str:
    """The shortest decimal that reads back as the same float32: `1e-07f`."""
    single = np.float32(value)
    if not math.isfinite(single):
        raise ValueError(f"{value} is not finite; C has no literal for it")
    text = np.format_float_scientific(single, unique=True, trim="-")
    return f"{text}f"


def c_string(value: str) -> str:
    """A C string literal; bytes outside printable ASCII as octal."""
    escaped = "".join(
        chr(b) if 32 <= b < 127 and b not in b'"\\?' else f"\\{b:03o}" for b in value.encode()
    )
    return f'"{escaped}"'


def c_values(data: Array) -> str:
    """The elements of any array the emitters use."""
    if data.dtype.kind == "f":
        return ", ".join(c_float(v) for v in np.ravel(data).tolist())
    return c_ints(data)
