"""Random layers and chains of them, given to tuned kernels and held against the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from support.host_capsule import HostCapsule
from support.judge import sample_inputs
from support.random_network import Maker
from tinyseal.board import Board
from tinyseal.graph.ir import Graph
from tinyseal.graph.random_layers import random_layers
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.tflite import import_tflite
from tinyseal.graph.tflite_writer import write_tflite
from tinyseal.plan.kernels import Kernel, KernelSet
from tinyseal.plan.planner import plan


def layers(seed: int, count: int) -> Graph:
    graph = random_layers(np.random.default_rng(seed), count, f"layers_{seed}")
    return import_tflite(write_tflite(graph, "random layers"), "model")


def run_layers(board: Board, count: int, folder: Path) -> list[Kernel]:
    """The kernels that ran, all with the reference's bytes, in `count` models of 60 layers."""
    ran: list[Kernel] = []
    for seed in range(count):
        graph = layers(seed, 60)
        made = plan(graph, board, KernelSet.TUNED)
        capsule = HostCapsule(made, folder)
        reference, rng = Interpreter(graph), np.random.default_rng(seed)
        for run in range(3):
            inputs = sample_inputs(graph, rng, run)
            pairs = zip(reference.invoke(inputs), capsule.invoke(inputs), made.steps, strict=True)
            for expected, got, step in pairs:
                label = f"{step.label} {step.kernel.function} seed {seed}"
                np.testing.assert_array_equal(got, expected, label)
        ran += [step.kernel for step in made.steps]
    return ran


def run_chains(board: Board, count: int, folder: Path) -> int:
    """In how many of `count` chains an output slid into its input's memory; all have the
    reference's bytes."""
    sliding = 0
    for seed in range(count):
        maker = Maker(np.random.default_rng(seed))
        x = maker.input((1 + seed % 2, 6, 7, 5))
        for _ in range(8):
            maker.pick((maker.conv, maker.depthwise))(x)
            x = maker.nodes[-1]
        maker.builder.output(x.index)
        graph = import_tflite(maker.builder.build(), "model")
        made = plan(graph, board, KernelSet.TUNED)
        apart = plan(graph, board, KernelSet.TUNED, reuse=False)
        sliding += made.arena_bytes < apart.arena_bytes
        reference, capsule = Interpreter(graph), HostCapsule(made, folder)
        for run in range(3):
            inputs = sample_inputs(graph, maker.rng, run)
            np.testing.assert_array_equal(capsule.invoke(inputs)[0], reference.invoke(inputs)[0])
    return sliding
