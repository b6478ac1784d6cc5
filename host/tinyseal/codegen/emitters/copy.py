"""Copies of memory that an alias cannot share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tinyseal.codegen.emission import Emission


def emit_copy(e: Emission) -> None:
    item = e.step.lowered
    source = e.state(0) if item.state else e.input(0)
    e.header("string.h")
    e.statement(f"memcpy({e.output()}, {source}, {e.plan.buffers[item.outputs[0]].bytes});")


EMITTERS: Final[dict[str, Callable[[Emission], None]]] = {"memcpy": emit_copy}
