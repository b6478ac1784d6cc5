"""Numbers on the command line."""

from __future__ import annotations

from tinyseal.errors import UsageError


def parse_address(text: str | None) -> int | None:
    """An address, decimal or 0x...; UsageError."""
    if text is None:
        return None
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 < value < 2**32:
        raise UsageError(f"address {text!r}: expected a number from 1 to 0xffffffff")
    return value
