"""Calls of the portable kernels that multiply and accumulate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tinyseal.codegen.emission import Emission
from tinyseal.graph.ops.fully_connected import FullyConnected


def emit_fc(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, FullyConnected)
    e.header("kernels/nn_fc.h")
    op = e.struct(
        "nn_fc",
        "op",
        batches=p.batches,
        in_depth=p.in_depth,
        out_depth=p.out_depth,
        in_offset=p.in_offset,
        filter_offset=p.filter_offset,
        out_offset=p.out_offset,
        act_min=p.act_min,
        act_max=p.act_max,
        multipliers=e.array("multipliers", p.multipliers),
        shifts=e.array("shifts", p.shifts),
        per_channel=int(len(p.multipliers) > 1),
        weights=e.array("weights", p.weights),
        bias=e.array("bias", p.bias),
    )
    e.statement(f"nn_fc_s8(&{op}, {e.input(0)}, {e.output()});")


EMITTERS: Final[dict[str, Callable[[Emission], None]]] = {"nn_fc_s8": emit_fc}
