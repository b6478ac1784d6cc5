"""Layers given to the tuned kernels have the reference's bytes: portable form and instructions."""

from pathlib import Path

import numpy as np
import pytest

from support.host_capsule import HostCapsule
from support.judge import sample_inputs
from tinyseal.board import load_board
from tinyseal.build.firmware import Request
from tinyseal.device.bench import bench
from tinyseal.graph.random_layers import random_layers
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.tflite import import_tflite
from tinyseal.graph.tflite_writer import write_tflite
from tinyseal.plan.kernels import KernelSet
from tinyseal.plan.planner import plan

PROJECT = Path(__file__).resolve().parents[1]
MODELS = PROJECT / "build" / "tests"
M4 = load_board("qemu-m4")


def layers(seed, count):
    graph = random_layers(np.random.default_rng(seed), count, f"tuned_{seed}")
    return write_tflite(graph, "random layers")


def test_portable_form_equals_the_reference(campaign, tmp_path):
    ran = []
    for seed in range(3 * campaign):
        graph = import_tflite(layers(seed, 60), "model")
        made = plan(graph, M4, KernelSet.TUNED)
        capsule = HostCapsule(made, tmp_path)
        reference, rng = Interpreter(graph), np.random.default_rng(seed)
        for run in range(6):
            inputs = sample_inputs(graph, rng, run)
            pairs = zip(reference.invoke(inputs), capsule.invoke(inputs), made.steps, strict=True)
            for expected, got, step in pairs:
                np.testing.assert_array_equal(got, expected, f"{step.label} seed {seed}")
        ran += [step.kernel for step in made.steps]
    tuned = [kernel.function for kernel in ran if kernel.set is KernelSet.TUNED]
    assert len(tuned) > len(ran) / 3
    assert set(tuned) == {"nn_tuned_conv_s8", "nn_tuned_conv_1x1_s8", "nn_tuned_depthwise_s8"}


def test_dsp_form_equals_the_reference(campaign):
    """Many layers a boot, on the virtual Cortex-M4."""
    MODELS.mkdir(parents=True, exist_ok=True)
    for seed in range(100, 100 + campaign):
        model = MODELS / f"tuned_{seed}.tflite"
        model.write_bytes(layers(seed, 60))
        row = bench(Request(M4, model.relative_to(PROJECT), "tuned"))
        assert row.bit_exact, model
        assert sum(layer.kernels == "tuned" for layer in row.layers) > len(row.layers) / 3


@pytest.mark.parametrize("name", ["host", "qemu-m0", "qemu-m3", "qemu-m55", "qemu-rv32"])
def test_other_cores_take_none(name):
    graph = import_tflite(layers(1, 20), "model")
    for step in plan(graph, load_board(name), KernelSet.TUNED).steps:
        assert step.kernel.set is KernelSet.REFERENCE
