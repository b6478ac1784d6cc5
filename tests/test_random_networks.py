"""Random small networks: TFLM's bytes in every tensor, through the planner and in C."""

from contextlib import contextmanager

import numpy as np
import pytest

from support.host_capsule import HostCapsule
from support.judge import assert_matches_tflm, sample_inputs
from support.random_network import random_network
from tinyseal.board import Memory
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.tflite import import_tflite
from tinyseal.plan.planner import plan
from tinyseal.profiles import load_board

CASES = 25


@contextmanager
def named(length, seed):
    try:
        yield
    except Exception as e:
        e.add_note(f"random_network(np.random.default_rng([{length}, {seed}]), {length})")
        raise


@pytest.mark.parametrize("length", [4, 12, 40])
def test_network_gives_tflms_bytes(length, tmp_path, campaign):
    for seed in range(CASES * campaign):
        with named(length, seed):
            rng = np.random.default_rng([length, seed])
            assert_matches_tflm(random_network(rng, length), rng, runs=3, tmp_path=tmp_path)


def test_network_over_two_memories_gives_the_references_bytes(tmp_path, campaign):
    host, length, split = load_board("host"), 20, 0
    for seed in range(CASES * campaign):
        with named(length, seed):
            rng = np.random.default_rng([length, seed])
            graph = import_tflite(random_network(rng, length), "model")
            one = plan(graph, host).arena_bytes[0]
            fast = Memory(
                name="fast", kind="ram", base=0, bytes=1 << 16, arena_bytes=max(1, one // 2)
            )
            slow = Memory(name="slow", kind="ram", base=1 << 16, bytes=1 << 20, arena_bytes=1 << 20)
            board = host.model_copy(update={"memory": (fast, slow)})
            two = plan(graph, board)
            split += all(two.arena_bytes)
            reference, capsule = Interpreter(graph), HostCapsule(two, tmp_path)
            for run in range(3):
                inputs = sample_inputs(graph, rng, run)
                for ours, expected in zip(
                    capsule.invoke(inputs), reference.invoke(inputs), strict=True
                ):
                    np.testing.assert_array_equal(ours, expected, str(run))
    assert split > CASES * campaign // 2
