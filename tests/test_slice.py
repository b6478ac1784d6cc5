"""The generated C of one layer gives the reference's bytes."""

import numpy as np

from support.host_capsule import HostCapsule
from tinyseal.graph.ir import DType, FullyConnectedAttrs, Graph, Op, OpKind, Quant, Tensor
from tinyseal.graph.reference import Interpreter
from tinyseal.plan.planner import plan
from tinyseal.profiles import load_board


def test_generated_fc_equals_reference(tmp_path):
    rng = np.random.default_rng(1)
    w = rng.integers(-127, 128, (7, 13), dtype=np.int8)
    b = rng.integers(-4000, 4000, 7, dtype=np.int32)
    tensors = (
        Tensor(0, "x", (2, 13), DType.S8, Quant((0.05,), (3,))),
        Tensor(1, "w", (7, 13), DType.S8, Quant((0.02,), (0,)), w),
        Tensor(2, "b", (7,), DType.S32, Quant((0.001,), (0,)), b),
        Tensor(3, "y", (2, 7), DType.S8, Quant((0.3,), (-5,))),
    )
    op = Op(0, OpKind.FULLY_CONNECTED, 4, (0, 1, 2), (3,), FullyConnectedAttrs())
    graph = Graph("fc", "00" * 32, tensors, (op,), (0,), (3,))
    reference = Interpreter(graph)
    capsule = HostCapsule(plan(graph, load_board("host")), tmp_path)
    for _ in range(8):
        x = rng.integers(-128, 128, (2, 13), dtype=np.int8)
        np.testing.assert_array_equal(capsule.invoke([x])[0], reference.invoke([x])[0])
