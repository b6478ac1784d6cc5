"""Convolutions, pools, reductions, softmax: TFLM's bytes, from the reference and from C."""

from pathlib import Path

import numpy as np
import pytest

from support.dense_cases import CASES
from support.host_capsule import HostCapsule
from support.judge import assert_matches_tflm
from support.tflite_builder import ModelBuilder
from tinyseal.errors import ModelError, UnsupportedError
from tinyseal.graph.ops import lower
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.tflite import import_tflite
from tinyseal.plan.kernels import KernelSet
from tinyseal.plan.planner import plan
from tinyseal.profiles import load_board

MODELS = Path(__file__).resolve().parents[1] / "models"
OPS_A_MODEL = 12


@pytest.mark.parametrize("kind", CASES)
def test_random_operators_match_tflm(kind, campaign, tmp_path):
    for case in range(3 * campaign):
        seed = [case, *kind.encode()]
        rng = np.random.default_rng(seed)
        b = ModelBuilder()
        for _ in range(OPS_A_MODEL):
            CASES[kind](b, rng)
        optimise = ("-O1", "-O2")[case % 2]
        assert_matches_tflm(b.build(), rng, runs=6, tmp_path=tmp_path, optimise=optimise)


@pytest.mark.parametrize("name", ["ad", "ic", "kws", "vww"])
@pytest.mark.parametrize("optimise", ["-O1", "-O2"])
def test_mlperf_tiny_models_match_tflm(name, optimise, campaign, tmp_path):
    model = (MODELS / f"{name}_int8.tflite").read_bytes()
    rng = np.random.default_rng(len(name))
    assert_matches_tflm(model, rng, runs=8 * campaign, tmp_path=tmp_path, optimise=optimise)


def fc_graph(weights, bias=None, weights_zero_point=0):
    b = ModelBuilder()
    x = b.input("x", (3, weights.shape[1]), scale=0.5, zp=-128)
    w = b.const("w", weights, scale=0.25, zp=weights_zero_point)
    y = b.tensor("y", (3, weights.shape[0]), scale=4.0, zp=7)
    inputs = [x, w, -1 if bias is None else b.const("bias", bias, scale=0.125)]
    b.op("FULLY_CONNECTED", inputs, [y])
    b.output(y)
    return b.build()


@pytest.mark.parametrize("zero_point", [-128, -3, 127])
def test_fc_weights_with_a_zero_point_match_tflm(zero_point, tmp_path):
    rng = np.random.default_rng(4)
    weights = rng.integers(-128, 128, (5, 9), dtype=np.int8)
    assert_matches_tflm(fc_graph(weights, None, zero_point), rng, 6, tmp_path)


def test_conv_with_its_bias_left_out_matches_tflm(tmp_path):
    rng = np.random.default_rng(5)
    b = ModelBuilder()
    x = b.input("x", (1, 5, 5, 3), scale=0.5, zp=3)
    w = b.const("w", rng.integers(-127, 128, (4, 3, 3, 3), dtype=np.int8), scale=0.25)
    y = b.tensor("y", (1, 5, 5, 4), scale=16.0, zp=-5)
    b.op("CONV_2D", [x, w, -1], [y], padding="SAME", stride_h=1, stride_w=1)
    b.output(y)
    assert_matches_tflm(b.build(), rng, 6, tmp_path)


def test_sums_that_could_overflow_are_refused_with_the_bound():
    weights = np.full((2, 4), 127, dtype=np.int8)
    bias = np.array([0, 2**31 - 256 * 4 * 127], dtype=np.int32)
    lower_all(fc_graph(weights, bias - np.int32([0, 1])))
    with pytest.raises(
        UnsupportedError, match=r"node 0 \(FULLY_CONNECTED\).* can reach 2147483648"
    ):
        lower_all(fc_graph(weights, bias))


def test_asymmetric_convolution_weights_are_refused():
    b = ModelBuilder()
    x = b.input("x", (1, 1, 1, 3), scale=0.5, zp=3)
    w = b.const("w", np.ones((4, 1, 1, 3), dtype=np.int8), scale=0.25, zp=1)
    y = b.tensor("y", (1, 1, 1, 4), scale=16.0, zp=-5)
    b.op("CONV_2D", [x, w], [y], padding="SAME", stride_h=1, stride_w=1)
    b.output(y)
    with pytest.raises(ModelError, match="zero point"):
        lower_all(b.build())


def lower_all(model):
    graph = import_tflite(model, "model")
    return [lower(graph, op) for op in graph.ops]


@pytest.mark.parametrize("depth", [511, 512, 1000, 4095])
def test_c_softmax_of_many_equal_classes_is_the_reference(depth, tmp_path):
    # TFLM aborts from 512 equal classes on, so the reference alone is the judge here.
    b = ModelBuilder()
    x = b.input("x", (2, depth), scale=0.1)
    y = b.tensor("y", (2, depth), scale=1 / 256, zp=-128)
    b.op("SOFTMAX", [x], [y], beta=1.0)
    b.output(y)
    graph = import_tflite(b.build(), "model")
    reference = Interpreter(graph)
    capsule = HostCapsule(plan(graph, load_board("host"), KernelSet.REFERENCE), tmp_path)
    noise = np.random.default_rng(6).integers(-9, 10, (2, depth)).astype(np.int8)
    for value in (np.zeros((2, depth), np.int8), noise):
        np.testing.assert_array_equal(capsule.invoke([value])[0], reference.invoke([value])[0])


def test_every_shift_rounds_as_tflm(tmp_path):
    # Without weights, a channel's sum is its bias: any sum meets any multiplier and shift.
    rng = np.random.default_rng(7)
    edges = [0, 1, -1, 2, -2, 2**30, -(2**30), 2**31 - 1, -(2**31) + 1, 2**31 - 2, 3 << 20]
    powers = np.arange(-33, 30)
    sums = np.concatenate([edges, 1 << np.arange(31), -(1 << np.arange(31)), noise(rng, 120)])
    scales = np.repeat(2.0**powers, len(sums))
    scales[1::2] *= rng.uniform(1, 2, len(scales[1::2]))
    b = ModelBuilder()
    x = b.input("x", (1, 1, 1, 1), scale=1.0)
    w = b.const("w", np.zeros((len(scales), 1, 1, 1), np.int8), scale=np.float32(scales))
    bias = b.const("bias", np.tile(sums, len(powers)).astype(np.int32), scale=np.float32(scales))
    y = b.tensor("y", (1, 1, 1, len(scales)), scale=1.0, zp=-3)
    b.op("CONV_2D", [x, w, bias], [y], padding="SAME", stride_h=1, stride_w=1)
    b.output(y)
    assert_matches_tflm(b.build(), rng, 1, tmp_path)


def noise(rng, count):
    """Integers of every magnitude below 2**31, both signs."""
    return (rng.choice([-1, 1], count) * 2 ** rng.uniform(0, 31, count)).astype(np.int64)
