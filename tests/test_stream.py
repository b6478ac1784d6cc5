"""Streamed pairs of layers: smaller arenas, the reference's bytes."""

import numpy as np
import pytest

from support.host_capsule import HostCapsule, cmsis_nn_arguments
from support.judge import sample_inputs
from support.random_network import Maker
from tinyseal.board import load_board
from tinyseal.build.firmware import ROOT
from tinyseal.graph.load import load_model
from tinyseal.graph.ops import lower
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.tflite import import_tflite
from tinyseal.plan.goal import Goal, Optimise
from tinyseal.plan.kernels.stream import Call, Stream
from tinyseal.plan.planner import plan
from tinyseal.plan.stream import ROWS, streamed

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


@pytest.mark.parametrize("name", ["host", "qemu-m4", "qemu-rv32"])
def test_streamed_layers_have_the_references_bytes(name, campaign, tmp_path):
    count = 0
    for seed in range(0, 32 * campaign, 4):
        graph, rng = chain(seed)
        made = plan(graph, load_board(name), goal=SMALLEST)
        count += sum(isinstance(step.lowered.params, Stream) for step in made.steps)
        reference, capsule = (
            Interpreter(graph),
            HostCapsule(made, tmp_path, extra=cmsis_nn_arguments()),
        )
        for run in range(3):
            inputs = sample_inputs(graph, rng, run)
            np.testing.assert_array_equal(capsule.invoke(inputs)[0], reference.invoke(inputs)[0])
    assert count >= campaign


def test_every_row_is_made_once():
    board = load_board("qemu-m4")
    ways = 0
    for seed in range(20):
        graph, _ = chain(seed)
        lowered = [lower(graph, op) for op in graph.ops]
        for at in range(len(lowered)):
            for way in streamed(graph, lowered, {}, board, None, at):
                made = way[at].params
                assert isinstance(made, Stream) and len(way) == len(lowered) - 1
                for item in (made.first, made.second):
                    rows = [
                        call.params.out_h
                        for call in made.calls
                        if isinstance(call, Call) and call.lowered is item
                    ]
                    assert sum(rows) <= item.params.out_h
                    assert item is made.first or sum(rows) == item.params.out_h
                ways += 1
    assert ways > 20 * len(ROWS)


def test_a_tensor_that_others_read_stays_whole():
    graph, _ = chain(0)
    lowered = [lower(graph, op) for op in graph.ops]
    between = lowered[0].outputs[0]
    board = load_board("host")
    assert list(streamed(graph, lowered, {}, board, None, 0))
    assert not list(streamed(graph, lowered, {99: between}, board, None, 0))
    assert not list(streamed(graph, lowered, {}, board, None, len(lowered) - 1))


def test_visual_wake_words_takes_less_than_its_widest_tensor():
    graph = load_model(ROOT / "models/vww_int8.tflite")
    widest = max(t.bytes for t in graph.tensors if not t.is_constant)
    made = plan(graph, load_board("qemu-m4"), goal=SMALLEST)
    assert widest == 36_864
    assert sum(made.arena_bytes) <= 28_000
