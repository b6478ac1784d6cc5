"""ADD and SUB: the generated C gives the reference's bytes."""

import numpy as np
import pytest

from support.host_capsule import HostCapsule
from tinyseal.board import load_board
from tinyseal.errors import UnsupportedError
from tinyseal.graph.ir import (
    Activation,
    ArithmeticAttrs,
    DType,
    Graph,
    Op,
    OpKind,
    Quant,
    Tensor,
)
from tinyseal.graph.ops import lower
from tinyseal.graph.reference import Interpreter
from tinyseal.plan.planner import plan


def binary_graph(kind, shapes, quants, activation=Activation.NONE, b_data=None):
    names = ("a", "b", "y")
    data = (None, b_data, None)
    tensors = tuple(
        Tensor(i, names[i], shapes[i], DType.S8, Quant((quants[i][0],), (quants[i][1],)), data[i])
        for i in range(3)
    )
    op = Op(0, kind, 2, (0, 1), (2,), ArithmeticAttrs(activation))
    inputs = (0,) if b_data is not None else (0, 1)
    return Graph("m", "00" * 32, tensors, (op,), inputs, (2,))


SHAPES = [
    ((2, 3, 5, 7), (2, 3, 5, 7)),
    ((1, 3, 5, 7), (7,)),
    ((1, 1, 1, 7), (2, 3, 5, 7)),
    ((2, 3, 1, 1), (1, 3, 4, 5)),
    ((3, 1, 5, 1, 2), (1, 4, 1, 3, 2)),
    ((1,), (9,)),
    ((), ()),
    ((6,), ()),
]


@pytest.mark.parametrize("kind", [OpKind.ADD, OpKind.SUB])
@pytest.mark.parametrize("shapes", SHAPES)
def test_generated_c_equals_reference(kind, shapes, tmp_path):
    rng = np.random.default_rng(len(shapes[0]) + 10 * len(shapes[1]))
    out = np.broadcast_shapes(*shapes)
    activation = rng.choice([Activation.NONE, Activation.RELU, Activation.RELU6])
    scales = 2.0 ** rng.uniform(-8, 2, 3)
    scales[2] = max(scales[:2]) * 2.0 ** rng.uniform(-2, 2)
    zeros = rng.choice([-128, 127, 0, 5], 3)
    quants = [(float(np.float32(s)), int(z)) for s, z in zip(scales, zeros, strict=True)]
    graph = binary_graph(kind, (*shapes, out), quants, activation)
    reference = Interpreter(graph)
    capsule = HostCapsule(plan(graph, load_board("host")), tmp_path)
    for _ in range(4):
        xs = [rng.integers(-128, 128, s, dtype=np.int8) for s in shapes]
        np.testing.assert_array_equal(capsule.invoke(xs)[0], reference.invoke(xs)[0])


def test_every_pair_of_bytes(tmp_path):
    a, b = np.meshgrid(np.arange(-128, 128, dtype=np.int8), np.arange(-128, 128, dtype=np.int8))
    for n, quants in enumerate(
        [
            ((0.5, 0), (0.5, 0), (1.0, 0)),  # both factors exactly one half, ties everywhere
            ((0.5, -128), (0.25, 127), (0.5, -1)),
            ((0.1, 3), (1e-9, 3), (0.2, -3)),  # one operand's factor is all rounding
            ((0.1, 3), (1e-12, 3), (0.2, -3)),  # and one that rounds to zero
            ((1e-6, 3), (2e-6, 3), (1e5, 127)),  # so does the output's
            ((0.1, 3), (0.2, 3), (1e-6, 0)),  # saturates everywhere
        ]
    ):
        for kind in (OpKind.ADD, OpKind.SUB):
            graph = binary_graph(kind, [a.shape] * 3, quants)
            folder = tmp_path / f"{kind.value}{n}"
            folder.mkdir()
            capsule = HostCapsule(plan(graph, load_board("host")), folder)
            expected = Interpreter(graph).invoke([a, b])[0]
            np.testing.assert_array_equal(capsule.invoke([a, b])[0], expected)


def test_unworkable_scales_are_named():
    quants = [(1.0, 0), (1.0, 0), (1e-7, 0)]
    graph = binary_graph(OpKind.ADD, [(3,)] * 3, quants)
    with pytest.raises(UnsupportedError, match=r"node 0 \(ADD\): scale 1e-07 of y"):
        lower(graph, graph.ops[0])
