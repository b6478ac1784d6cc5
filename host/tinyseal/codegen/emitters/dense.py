"""Calls that the families of tuned kernels have in common: `nn_tuned_*`, `nn_scalar_*`."""

from __future__ import annotations

from collections.abc import Mapping

from tinyseal.codegen.emission import Emission
from tinyseal.codegen.emitters.reference_dense import window_fields
from tinyseal.graph.lowering import Array
from tinyseal.graph.ops.convolution import Conv2D
from tinyseal.graph.ops.fully_connected import FullyConnected
from tinyseal.plan.kernels.dense import Dense, Weighted, pixels

Fields = Mapping[str, int | str]


def dense_params(e: Emission) -> Dense:
    p = e.step.lowered.params
    assert isinstance(p, Conv2D | FullyConnected)
    return p


def range_fields(p: Weighted) -> dict[str, int]:
    return {"act_min": p.act_min, "act_max": p.act_max}


def emit_conv(e: Emission, family: str, product: Fields) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Conv2D)
    e.header(f"kernels/{family}_conv.h")
    op = e.struct(
        f"{family}_conv",
        "op",
        **window_fields(p),
        **{f"product.{name}": value for name, value in product.items()},
        zero=-p.in_offset,
        **range_fields(p),
    )
    e.statement(f"{e.step.kernel.function}(&{op}, {e.input(0)}, {e.output()}, {e.scratch()});")


def emit_conv_1x1(e: Emission, family: str, product: Fields) -> None:
    p = dense_params(e)
    e.header(f"kernels/{family}_conv.h")
    op = e.struct(
        f"{family}_conv_1x1",
        "op",
        **{f"product.{name}": value for name, value in product.items()},
        pixels=pixels(p),
        in_ch=p.weights[0].size,
        **range_fields(p),
    )
    e.statement(f"{e.step.kernel.function}(&{op}, {e.input(0)}, {e.output()}, {e.scratch()});")


def emit_fc(e: Emission, family: str, weights: Array, channels: Array, **more: int) -> None:
    p = dense_params(e)
    assert isinstance(p, FullyConnected)
    e.header(f"kernels/{family}_fc.h")
    op = e.struct(
        f"{family}_fc",
        "op",
        batches=p.batches,
        in_depth=p.in_depth,
        out_depth=p.out_depth,
        **range_fields(p),
        **more,
        weights=e.array("weights", weights),
        channels=e.array("channels", channels),
    )
    e.statement(f"{family}_fc_s8(&{op}, {e.input(0)}, {e.output()});")
