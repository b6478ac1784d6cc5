"""Streamed layers: smaller arenas, the reference's bytes."""

import itertools

import numpy as np
import pytest

from support.host_capsule import HostCapsule, cmsis_nn_arguments
from support.judge import sample_inputs
from support.random_network import Maker
from tinyseal.build.firmware import ROOT
from tinyseal.graph.load import load_model
from tinyseal.graph.ops import lower
from tinyseal.graph.ops.unary import Lut
from tinyseal.graph.ops.window import Window
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.tflite import import_tflite
from tinyseal.plan.goal import Goal, Optimise
from tinyseal.plan.kernels import KernelSet
from tinyseal.plan.kernels.stream import Call, Stream
from tinyseal.plan.planner import plan
from tinyseal.plan.stream import ROWS, Streams
from tinyseal.profiles import load_board

SMALLEST = Goal(Optimise.RAM)


def chain(seed):
    """Four convolutions of a high image, ordinary and depthwise, one behind the other."""
    maker = Maker(np.random.default_rng(seed))
    x = maker.input((1, 40, 5, 1 + seed % 2))
    for _ in range(4):
        maker.pick((maker.conv, maker.conv, maker.depthwise))(x)
        x = maker.nodes[-1]
    maker.builder.output(x.index)
    return import_tflite(maker.builder.build(), "chain"), maker.rng


def residual(seed):
    """Blocks of layers that are summed with what goes into them, as it is or by way of another
    convolution; images high and of odd widths."""
    maker = Maker(np.random.default_rng(seed))
    x = maker.input((1, 24 + maker.below(9), 1 + maker.below(7), 1 + maker.below(4)))
    for _ in range(1 + maker.below(3)):
        x = maker.residual(x)
        if maker.chance(0.3):
            maker.logistic(x)
            x = maker.nodes[-1]
    maker.builder.output(x.index)
    return import_tflite(maker.builder.build(), "residual"), maker.rng


def streams_of(graph, board):
    lowered = [lower(graph, op) for op in graph.ops]
    streams = Streams(graph, lowered, {}, board, None)
    for first, end in itertools.combinations(range(len(lowered) + 1), 2):
        if end > first + 1 and streams.allows(first, end):
            for made in streams.of(first, end):
                yield first, end, made.params


@pytest.mark.parametrize(
    ("name", "kernels"),
    [
        ("host", None),
        ("qemu-m4", None),
        ("qemu-rv32", None),
        ("qemu-m55", KernelSet.TUNED),
        ("qemu-m55", KernelSet.CMSIS_NN),
    ],
)
@pytest.mark.parametrize("network", [chain, residual])
def test_streamed_layers_have_the_references_bytes(name, kernels, network, campaign, tmp_path):
    count = 0
    for seed in range(0, 24 * campaign, 4):
        graph, rng = network(seed)
        made = plan(graph, load_board(name), kernels, goal=SMALLEST)
        count += sum(isinstance(step.lowered.params, Stream) for step in made.steps)
        reference, capsule = (
            Interpreter(graph),
            HostCapsule(made, tmp_path, extra=cmsis_nn_arguments()),
        )
        for run in range(3):
            inputs = sample_inputs(graph, rng, run)
            np.testing.assert_array_equal(capsule.invoke(inputs)[0], reference.invoke(inputs)[0])
    assert count >= campaign


@pytest.mark.parametrize("network", [chain, residual])
def test_every_row_is_made_once(network):
    board = load_board("qemu-m4")
    ways = 0
    for seed in range(6):
        graph, _ = network(seed)
        for first, end, made in streams_of(graph, board):
            assert len(made.layers) == end - first
            for item in made.layers:
                height = graph.tensor(item.outputs[0]).shape[1]
                row = graph.tensor(item.outputs[0]).bytes // height
                calls = [c for c in made.calls if isinstance(c, Call) and c.lowered is item]
                rows = [
                    c.params.out_h if isinstance(c.params, Window) else elements(c.params) // row
                    for c in calls
                ]
                assert sum(rows) <= height
                assert item is not made.layers[-1] or sum(rows) == height
            ways += 1
    assert ways > 6 * len(ROWS)


def elements(params):
    return params.elements if isinstance(params, Lut) else params.walk.elements


def test_a_tensor_that_others_read_stays_whole():
    graph, _ = chain(0)
    lowered = [lower(graph, op) for op in graph.ops]
    between = lowered[0].outputs[0]
    board = load_board("host")
    assert Streams(graph, lowered, {}, board, None).allows(0, 2)
    assert not Streams(graph, lowered, {99: between}, board, None).allows(0, 2)


def test_visual_wake_words_takes_less_than_its_widest_tensor():
    graph = load_model(ROOT / "models/vww_int8.tflite")
    widest = max(t.bytes for t in graph.tensors if not t.is_constant)
    made = plan(graph, load_board("qemu-m4"), goal=SMALLEST)
    assert widest == 36_864
    assert sum(made.arena_bytes) <= 28_000


def test_residual_blocks_are_streamed_within_a_budget():
    graph = load_model(ROOT / "models/ic_int8.tflite")
    board = load_board("qemu-m4")
    fast, within = plan(graph, board), plan(graph, board, goal=Goal(ram=24_000))
    assert sum(within.arena_bytes) <= 24_000
    assert within.instructions < 1.06 * fast.instructions
    smallest = plan(graph, board, goal=SMALLEST)
    assert sum(smallest.arena_bytes) <= 14_400


@pytest.mark.parametrize("kernels", [KernelSet.CMSIS_NN, KernelSet.TUNED])
def test_image_classification_is_exact_where_calls_take_what_scratch_is_left(kernels, tmp_path):
    graph = load_model(ROOT / "models/ic_int8.tflite")
    made = plan(graph, load_board("qemu-m55"), kernels)
    assert any(isinstance(step.lowered.params, Stream) for step in made.steps)
    capsule = HostCapsule(made, tmp_path, extra=cmsis_nn_arguments())
    inputs = sample_inputs(graph, np.random.default_rng(0), 0)
    expected = Interpreter(graph).invoke(inputs)[0]
    np.testing.assert_array_equal(capsule.invoke(inputs)[0], expected)
