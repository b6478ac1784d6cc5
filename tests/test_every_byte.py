"""Operators of one or two int8 values, on every value there is: TFLM's bytes, in numpy and in C."""

import numpy as np
import pytest

from support.host_capsule import HostCapsule
from support.judge import Tflm
from support.tflite_builder import ModelBuilder
from tinyseal.errors import UnsupportedError
from tinyseal.graph.ops import lower
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.tflite import import_tflite
from tinyseal.plan.planner import plan
from tinyseal.profiles import load_board

BYTES = np.arange(-128, 128, dtype=np.int8)
PAIRS = np.meshgrid(BYTES, BYTES)
QUANTISATIONS = 40

SCALES = [
    ((0.5, 0), (0.5, 0), (1.0, 0)),  # both factors exactly one half, ties everywhere
    ((0.5, -128), (0.25, 127), (0.5, -1)),
    ((0.0472, 17), (0.0391, -11), (0.0603, 4)),
    ((0.1, 3), (1e-9, 3), (0.2, -3)),  # one operand all but vanishes
    ((0.1, 3), (1e-12, 3), (0.2, -3)),  # and does
    ((1e-6, 3), (2e-6, 3), (1e5, 127)),  # so does the sum
    ((0.1, 3), (0.2, 3), (1e-6, 0)),  # saturates everywhere
    ((1.0, 0), (1.0, 0), (3.9e-6, 0)),  # the finest output there is
]


def binary(kind, quants, **options):
    b = ModelBuilder()
    ins = [
        b.input(n, PAIRS[0].shape, scale=s, zp=z) for n, (s, z) in zip("ab", quants, strict=False)
    ]
    out = b.tensor("y", PAIRS[0].shape, scale=quants[2][0], zp=quants[2][1])
    b.op(kind, ins, [out], **options)
    b.output(out)
    return b.build()


def unary(kind, quants, **options):
    b = ModelBuilder()
    x = b.input("x", BYTES.shape, scale=quants[0][0], zp=quants[0][1])
    y = b.tensor("y", BYTES.shape, scale=quants[1][0], zp=quants[1][1])
    b.op(kind, [x], [y], **options)
    b.output(y)
    return b.build()


@pytest.mark.parametrize("activation", ["NONE", "RELU6"])
@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL"])
def test_every_pair_of_bytes(kind, activation, tmp_path):
    for quants in SCALES:
        model = binary(kind, quants, fused_activation_function=activation)
        graph = import_tflite(model, "m")
        expected = Tflm(model).invoke(PAIRS)[0]
        np.testing.assert_array_equal(Interpreter(graph).invoke(PAIRS)[0], expected, str(quants))
        capsule = HostCapsule(plan(graph, load_board("host")), tmp_path)
        np.testing.assert_array_equal(capsule.invoke(PAIRS)[0], expected, str(quants))


@pytest.mark.parametrize(
    "kind", ["LOGISTIC", "TANH", "RELU", "RELU6", "LEAKY_RELU", "HARD_SWISH", "QUANTIZE"]
)
def test_every_byte(kind, campaign):
    """The C kernel only looks up what the reference works out, so the reference is enough."""
    refused = 0
    for seed in range(QUANTISATIONS * campaign):
        rng = np.random.default_rng([seed, *kind.encode()])
        width = [2, 5, 12][seed % 3]
        scales = np.float32(0.05 * 2.0 ** rng.uniform(-width, width, 2)).tolist()
        zeros = rng.choice([-128, 127, 0, int(rng.integers(-128, 128))], 2).tolist()
        options = {"alpha": float(np.float32(rng.uniform(0, 3)))} if kind == "LEAKY_RELU" else {}
        quants = list(zip(scales, zeros, strict=True))
        if kind == "LOGISTIC":
            quants[1] = (1 / 256, -128)
        model = unary(kind, quants, **options)
        graph = import_tflite(model, "m")
        try:
            ours = Interpreter(graph).invoke([BYTES])[0]
        except UnsupportedError:
            refused += 1
            with pytest.raises(RuntimeError):
                Tflm(model)
            continue
        np.testing.assert_array_equal(ours, Tflm(model).invoke([BYTES])[0], f"{quants} {options}")
    assert refused < QUANTISATIONS * campaign // 4


def test_unworkable_scales_are_named():
    graph = import_tflite(binary("ADD", [(1.0, 0), (1.0, 0), (1e-7, 0)]), "m")
    with pytest.raises(UnsupportedError, match=r"node 0 \(ADD\): scale 1e-07 of y"):
        lower(graph, graph.ops[0])
    graph = import_tflite(unary("QUANTIZE", [(1e6, 0), (1e-6, 0)]), "m")
    with pytest.raises(UnsupportedError, match=r"node 0 \(QUANTIZE\): .*factor of 1e\+12"):
        lower(graph, graph.ops[0])
