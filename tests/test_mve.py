"""Layers given to the tuned kernels for vectors have the reference's bytes, portable and as MVE."""

from pathlib import Path

import numpy as np
import pytest

from support.host_capsule import HostCapsule
from support.judge import sample_inputs
from support.random_network import Maker
from tinyseal.board import load_board
from tinyseal.build.firmware import Request
from tinyseal.device.bench import bench
from tinyseal.device.kernels import torture_kernels
from tinyseal.graph.random_layers import random_layers
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.tflite import import_tflite
from tinyseal.graph.tflite_writer import write_tflite
from tinyseal.plan.kernels import KernelSet, mve
from tinyseal.plan.planner import plan

M55 = load_board("qemu-m55")
FUNCTIONS = {kernel.function for kernel in mve.KERNELS}


def test_portable_form_equals_the_reference(campaign, tmp_path):
    ran = []
    for seed in range(3 * campaign):
        made_of = random_layers(np.random.default_rng(seed), 60, f"mve_{seed}")
        graph = import_tflite(write_tflite(made_of, "random layers"), "model")
        made = plan(graph, M55, KernelSet.TUNED)
        capsule = HostCapsule(made, tmp_path)
        reference, rng = Interpreter(graph), np.random.default_rng(seed)
        for run in range(6):
            inputs = sample_inputs(graph, rng, run)
            pairs = zip(reference.invoke(inputs), capsule.invoke(inputs), made.steps, strict=True)
            for expected, got, step in pairs:
                label = f"{step.label} {step.kernel.function} seed {seed}"
                np.testing.assert_array_equal(got, expected, label)
        ran += [step.kernel for step in made.steps]
    taken = [kernel.function for kernel in ran if kernel.set is KernelSet.TUNED]
    assert len(taken) > len(ran) / 3
    assert set(taken) == FUNCTIONS


def test_layers_write_over_what_the_one_before_left(campaign, tmp_path):
    """Chains: outputs slide into their inputs' memory as far as the lag says."""
    sliding = 0
    for seed in range(12 * campaign):
        maker = Maker(np.random.default_rng(seed))
        x = maker.input((1 + seed % 2, 6, 7, 5))
        for _ in range(8):
            maker.pick((maker.conv, maker.depthwise))(x)
            x = maker.nodes[-1]
        maker.builder.output(x.index)
        graph = import_tflite(maker.builder.build(), "model")
        made = plan(graph, M55, KernelSet.TUNED)
        apart = plan(graph, M55, KernelSet.TUNED, reuse=False)
        sliding += made.arena_bytes < apart.arena_bytes
        reference, capsule = Interpreter(graph), HostCapsule(made, tmp_path)
        for run in range(3):
            inputs = sample_inputs(graph, maker.rng, run)
            np.testing.assert_array_equal(capsule.invoke(inputs)[0], reference.invoke(inputs)[0])
    assert sliding > 6 * campaign


def test_mve_form_equals_the_reference(campaign):
    """Many layers a boot, on the virtual Cortex-M55."""
    result = torture_kernels(M55, "tuned", 60 * campaign, seed=4)
    assert not result.failures
    heavy = {"nn_mve_conv_s8", "nn_mve_depthwise_s8", "nn_mve_product_s8"}
    assert heavy <= set(result.functions) <= FUNCTIONS


@pytest.mark.parametrize(("model", "instructions"), [("vww", 1_950_000), ("ad", 42_000)])
def test_whole_models_are_exact_and_as_fast_as_told(model, instructions):
    row = bench(Request(M55, Path(f"models/{model}_int8.tflite"), "tuned"))
    assert row.bit_exact
    assert row.instructions < instructions
    assert {layer.kernels for layer in row.layers} <= {"tuned", "reference"}
