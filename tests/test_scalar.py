"""Tuned kernels of cores without packed products have the reference's bytes, here and there."""

import subprocess

import numpy as np
import pytest

from support.host_capsule import HostCapsule
from support.tflite_builder import ModelBuilder
from support.tuned import layers, run_chains, run_layers
from tinyseal.graph.fixedpoint import requantize_s8
from tinyseal.graph.ir import Graph
from tinyseal.graph.ops.fully_connected import FullyConnected
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.tflite import import_tflite
from tinyseal.plan.kernels import KernelSet, scalar, scale, sums
from tinyseal.plan.kernels.dense import Weighted, by_channel
from tinyseal.plan.planner import plan
from tinyseal.profiles import load_board
from tinyseal.torture.kernels import torture_kernels

RV32 = load_board("qemu-rv32")  # as many pixels at a time as the C on the host
XTENSA = load_board("qemu-xtensa")  # ends by halves, as the M0
FUNCTIONS = {kernel.function for of in (scalar, scale, sums) for kernel in of.KERNELS}


def test_portable_form_equals_the_reference(campaign, tmp_path):
    ran = run_layers(RV32, 3 * campaign, tmp_path)
    taken = [kernel.function for kernel in ran if kernel.set is KernelSet.TUNED]
    assert len(taken) > len(ran) / 3
    assert set(taken) == FUNCTIONS


def test_layers_write_over_what_the_one_before_left(campaign, tmp_path):
    """Chains: outputs slide into their inputs' memory as far as the lag says."""
    assert run_chains(RV32, 12 * campaign, tmp_path) > 6 * campaign


@pytest.mark.parametrize("name", ["qemu-rv32", "qemu-m3", "qemu-m0", "qemu-xtensa"])
def test_board_equals_the_reference(campaign, name):
    """What the core's compiler makes of it, and the assembly."""
    result = torture_kernels(load_board(name), "tuned", 50 * campaign, seed=101)
    print(f"{result.count} layers on {name}")
    assert not result.failures
    without = {"nn_scalar_fc_s8"} if name == "qemu-xtensa" else set()
    assert set(result.functions) == FUNCTIONS - without


HEAVY = np.full((3, 200), -128, dtype=np.int8)
LIGHT = np.array([[100, -3] * 100, [1, 127] * 100], dtype=np.int8)


def _dense(weights: np.ndarray, batches: int) -> Graph:
    """A fully connected layer whose sums, at their ends, just do not saturate."""
    b, (channels, depth) = ModelBuilder(), weights.shape
    x = b.input("x", (batches, depth), scale=1.0, zp=3)
    w = b.const("w", weights, scale=1.0, zp=0)
    y = b.tensor("y", (batches, channels), "int8", scale=130.0 * depth, zp=-1)
    b.op("FULLY_CONNECTED", [x, w, -1], [y])
    b.output(y)
    return import_tflite(b.build(), "model")


@pytest.mark.parametrize(
    ("weights", "chunk", "chunks"), [(HEAVY, 60, 4), (LIGHT, 124, 2), (LIGHT[:, :9], 12, 1)]
)
def test_chunks_hold_as_many_weights_as_fit_and_no_more(weights, chunk, chunks):
    p = plan(_dense(weights, 6), RV32, KernelSet.TUNED).steps[0].lowered.params
    assert isinstance(p, FullyConnected)
    assert scalar.product(p, RV32).chunk == chunk and scalar.chunks(p) == chunks


@pytest.mark.parametrize("weights", [HEAVY, HEAVY[:, :60], -1 - HEAVY, LIGHT])
def test_sums_at_the_ends_of_their_range_come_apart(weights, tmp_path):
    """Inputs as large as they come: a sum that leaves its bits would change its neighbours'."""
    ends = np.array([-128, 127, -128, 127, 127, -128, 5, -128], dtype=np.int8)
    inputs = np.repeat(ends[:, None], weights.shape[1], axis=1)
    inputs[2:4] *= np.where(LIGHT[0, : weights.shape[1]] < 0, -1, 1).astype(np.int8)
    graph = _dense(weights, len(inputs))
    made = plan(graph, RV32, KernelSet.TUNED)
    assert made.steps[0].kernel.function == "nn_scalar_conv_1x1_s8"
    expected = Interpreter(graph).invoke([inputs])
    np.testing.assert_array_equal(HostCapsule(made, tmp_path).invoke([inputs]), expected)
    assert len(np.unique(expected)) > 3


def test_short_ends_give_the_references_byte_for_any_sum():
    """Each sum of narrow channels, and of wide ones some thousands."""
    rng, seen = np.random.default_rng(7), 0
    for step in plan(layers(4, 60), XTENSA, KernelSet.TUNED).steps:
        p = step.lowered.params
        end = scalar.ends_on(p, XTENSA) if isinstance(p, Weighted) else None
        if end is None or not end.is_short:
            continue
        weights = by_channel(p).astype(np.int64)
        least, most = (f(weights * -128, weights * 127).sum(1) for f in (np.minimum, np.maximum))
        start = p.in_offset * weights.sum(axis=1) + (0 if p.bias is None else p.bias)
        for c, (first, multiplier, offset, shift) in enumerate(end.words):
            span = int(most[c] - least[c])
            far = np.arange(span + 1) if span < 20_000 else rng.integers(0, span, 5_000)
            sums = np.concatenate([far, [0, span]]) + least[c]
            x = np.clip(sums + first, 0, shift >> 8)
            high = x * (multiplier & 0xFFFF) + (x * (multiplier >> 16) >> 14) + offset
            assert high.max() < 2**32 and (x * (multiplier >> 16)).max() < 2**32
            expected = requantize_s8(
                sums + start[c], p.multipliers[c], p.shifts[c], p.out_offset, -128, 127
            )
            np.testing.assert_array_equal((high >> (shift & 0xFF)).astype(np.int8), expected)
            seen += len(np.unique(expected)) > 3
    assert seen > 20


def test_sources_for_another_core_do_not_compile(tmp_path, capfd):
    made = plan(layers(1, 20), XTENSA, KernelSet.TUNED)
    with pytest.raises(subprocess.CalledProcessError):
        HostCapsule(made, tmp_path)
    assert "made for lx106" in capfd.readouterr().err
