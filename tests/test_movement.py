"""Operators that move elements, where TFLM cannot judge: masks it ignores, types it lacks."""

import numpy as np
import pytest

from support.host_capsule import HostCapsule
from support.judge import sample_inputs
from support.tflite_builder import ModelBuilder
from tinyseal.errors import UnsupportedError
from tinyseal.graph.lowering import Alias
from tinyseal.graph.ops import lower
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.tflite import import_tflite
from tinyseal.plan.planner import plan
from tinyseal.profiles import load_board

ELLIPSIS, NEW = ..., np.newaxis


def strided_slice(shape, index, dtype="int8"):
    """The model of numpy's x[index]; slices, integers, `...` and new axes."""
    begins, ends, steps = [], [], []
    masks = dict.fromkeys(("begin", "end", "ellipsis", "new_axis", "shrink_axis"), 0)
    for i, item in enumerate(index):
        begin, end, step = 0, 0, 1
        if item is ELLIPSIS:
            masks["ellipsis"] |= 1 << i
        elif item is NEW:
            masks["new_axis"] |= 1 << i
        elif isinstance(item, slice):
            begin, end, step = item.start or 0, item.stop or 0, item.step or 1
            masks["begin"] |= (item.start is None) << i
            masks["end"] |= (item.stop is None) << i
        else:
            begin, end = item, item + 1
            masks["shrink_axis"] |= 1 << i
        begins.append(begin)
        ends.append(end)
        steps.append(step)
    b = ModelBuilder()
    quant = {} if dtype == "float32" else {"scale": 0.1, "zp": 0}
    x = b.input("x", shape, dtype, **quant)
    y = b.tensor("y", np.empty(shape)[index].shape, dtype, **quant)
    bounds = [
        b.const(n, np.array(v, np.int32)) for n, v in zip("bes", (begins, ends, steps), strict=True)
    ]
    b.op("STRIDED_SLICE", [x, *bounds], [y], **{f"{k}_mask": v for k, v in masks.items()})
    b.output(y)
    return b.build()


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "float32"])
@pytest.mark.parametrize(
    ("shape", "index"),
    [
        ((4, 5, 6), (ELLIPSIS, slice(1, 4))),
        ((4, 5, 6), (slice(1, None), ELLIPSIS)),
        ((4, 5, 6), (NEW, slice(None, None, 2), ELLIPSIS, NEW)),
        ((4, 5, 6), (2, NEW, ELLIPSIS, -1)),
        ((4, 5, 6), (slice(None, None, -1), slice(3, 0, -2), slice(-5, -1, 3))),
        ((2, 3, 4, 5, 3), (slice(None), 1, slice(None, None, -1), slice(1, 4, 2), slice(0, 3, 2))),
        ((2, 2, 3, 2, 3, 4), tuple(slice(None, None, -1) for _ in range(6))),
        ((7,), (3,)),
        ((4, 5, 6), (1,)),
    ],
)
def test_strided_slice_is_numpys(shape, index, dtype, tmp_path):
    graph = import_tflite(strided_slice(shape, index, dtype), "m")
    (x,) = sample_inputs(graph, np.random.default_rng(0), 0)
    np.testing.assert_array_equal(Interpreter(graph).invoke([x])[0], x[index])
    capsule = HostCapsule(plan(graph, load_board("host")), tmp_path)
    np.testing.assert_array_equal(capsule.invoke([x])[0], x[index])


def test_what_moves_nothing_is_an_alias():
    graph = import_tflite(strided_slice((4, 5), (slice(None), slice(0, 5))), "m")
    assert isinstance(lower(graph, graph.ops[0]).params, Alias)
    b = ModelBuilder()
    x = b.input("x", (3, 1, 5), scale=0.1)
    y = b.tensor("y", (1, 3, 5), scale=0.1)
    b.op("TRANSPOSE", [x, b.const("order", np.array([1, 0, 2], np.int32))], [y])
    b.output(y)
    graph = import_tflite(b.build(), "m")
    assert isinstance(lower(graph, graph.ops[0]).params, Alias)


def test_concatenation_of_unlike_scales_is_refused_by_name():
    b = ModelBuilder()
    parts = [b.input("left", (2,), scale=0.1), b.input("right", (2,), scale=0.2)]
    out = b.tensor("out", (4,), scale=0.1)
    b.op("CONCATENATION", parts, [out], axis=0)
    b.output(out)
    graph = import_tflite(b.build(), "m")
    with pytest.raises(UnsupportedError, match=r"node 0 \(CONCATENATION\): tensor right is quant"):
        lower(graph, graph.ops[0])


@pytest.mark.parametrize("dtype", ["float32", "int32", "int16"])
@pytest.mark.parametrize("kind", ["ADD", "MUL", "MAXIMUM", "PRELU"])
def test_arithmetic_on_other_types_is_refused_by_name(kind, dtype):
    b = ModelBuilder()
    quant = {} if dtype == "float32" else {"scale": 0.1, "zp": 0}
    x = b.input("first", (1, 4), dtype, **quant)
    second = b.input("second", (1, 4), dtype, **quant)
    y = b.tensor("y", (1, 4), dtype, **quant)
    b.op(kind, [x, second], [y])
    b.output(y)
    graph = import_tflite(b.build(), "m")
    with pytest.raises(UnsupportedError, match=rf"node 0 \({kind}\): tensor first is {dtype}"):
        lower(graph, graph.ops[0])
