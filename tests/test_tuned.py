"""Layers given to the tuned kernels have the reference's bytes: portable form and instructions."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from support.host_capsule import HostCapsule
from support.judge import sample_inputs
from support.random_network import Maker
from tinyseal.board import load_board
from tinyseal.cli import app
from tinyseal.device.kernels import torture_kernels
from tinyseal.errors import PlanError
from tinyseal.graph.random_layers import random_layers
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.tflite import import_tflite
from tinyseal.graph.tflite_writer import write_tflite
from tinyseal.plan.kernels import KernelSet, tuned
from tinyseal.plan.planner import plan

M4 = load_board("qemu-m4")
FUNCTIONS = {kernel.function for kernel in tuned.KERNELS}


def layers(seed, count):
    graph = random_layers(np.random.default_rng(seed), count, f"tuned_{seed}")
    return write_tflite(graph, "random layers")


def test_portable_form_equals_the_reference(campaign, tmp_path):
    ran = []
    for seed in range(6 * campaign):
        graph = import_tflite(layers(seed, 60), "model")
        made = plan(graph, M4, KernelSet.TUNED)
        capsule = HostCapsule(made, tmp_path)
        reference, rng = Interpreter(graph), np.random.default_rng(seed)
        for run in range(3):
            inputs = sample_inputs(graph, rng, run)
            pairs = zip(reference.invoke(inputs), capsule.invoke(inputs), made.steps, strict=True)
            for expected, got, step in pairs:
                np.testing.assert_array_equal(got, expected, f"{step.label} seed {seed}")
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
        made = plan(graph, M4, KernelSet.TUNED)
        apart = plan(graph, M4, KernelSet.TUNED, reuse=False)
        sliding += made.arena_bytes < apart.arena_bytes
        reference, capsule = Interpreter(graph), HostCapsule(made, tmp_path)
        for run in range(3):
            inputs = sample_inputs(graph, maker.rng, run)
            np.testing.assert_array_equal(capsule.invoke(inputs)[0], reference.invoke(inputs)[0])
    assert sliding > 6 * campaign


def test_dsp_form_equals_the_reference(campaign):
    """Many layers a boot, on the virtual Cortex-M4."""
    result = torture_kernels(M4, "tuned", 40 * campaign, seed=107)
    assert not result.failures
    assert set(result.functions) == FUNCTIONS


def test_torture_counts_and_names_what_fails(monkeypatch):
    broken = Interpreter.invoke
    flip = lambda self, inputs: [~broken(self, inputs)[0], *broken(self, inputs)[1:]]  # noqa: E731
    monkeypatch.setattr(Interpreter, "invoke", flip)
    options = ["--board", "qemu-m4", "--kernels", "tuned", "--count", "1", "--json"]
    done = CliRunner().invoke(app, ["torture", "kernels", *options])
    told = json.loads(done.stdout)
    assert done.exit_code == 1
    assert told["failures"] == 1 and told["count"] >= 1 and told["seconds"] > 0
    assert told["failed"][0].startswith("batch 0, ")


def test_a_set_without_kernels_for_the_board_is_told():
    with pytest.raises(PlanError, match="takes no layer"):
        torture_kernels(load_board("host"), "tuned", 1, seed=1)


def test_other_cores_take_none():
    graph = import_tflite(layers(1, 20), "model")
    for step in plan(graph, load_board("host"), KernelSet.TUNED).steps:
        assert step.kernel.set is KernelSet.REFERENCE
