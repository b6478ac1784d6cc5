"""Layers given to the tuned kernels for vectors have the reference's bytes, portable and as MVE."""

from pathlib import Path

import pytest

from support.tuned import run_chains, run_layers
from tinyseal.bench.inference import bench
from tinyseal.build.firmware import Request
from tinyseal.plan.kernels import KernelSet, mve, sums
from tinyseal.profiles import load_board
from tinyseal.torture.kernels import torture_kernels

M55 = load_board("qemu-m55")
# Sums of a repeated operand have no vectors; random layers have no signs: tests/test_binary.py.
FUNCTIONS = {kernel.function for of in (mve, sums) for kernel in of.KERNELS}
FUNCTIONS = FUNCTIONS - {"nn_mve_bin_conv"} | {"nn_scale_add_s8"}


def test_portable_form_equals_the_reference(campaign, tmp_path):
    ran = run_layers(M55, 3 * campaign, tmp_path)
    taken = [kernel.function for kernel in ran if kernel.set is KernelSet.TUNED]
    assert len(taken) > len(ran) * 0.8
    assert set(taken) == FUNCTIONS


def test_layers_write_over_what_the_one_before_left(campaign, tmp_path):
    """Chains: outputs slide into their inputs' memory as far as the lag says."""
    assert run_chains(M55, 12 * campaign, tmp_path) > 6 * campaign


def test_mve_form_equals_the_reference(campaign):
    """Many layers a boot, on the virtual Cortex-M55."""
    result = torture_kernels(M55, "tuned", 150 * campaign, seed=4)
    print(f"{result.count} layers on {M55.name}")
    assert not result.failures
    heavy = {"nn_mve_conv_s8", "nn_mve_depthwise_s8", "nn_mve_product_s8"}
    assert heavy <= set(result.functions) <= FUNCTIONS


@pytest.mark.parametrize(
    ("model", "instructions"),
    [("vww_int8", 1_950_000), ("ad_int8", 42_000), ("digits_binary", 500_000)],
)
def test_whole_models_are_exact_and_as_fast_as_told(model, instructions):
    row = bench(Request(M55, Path(f"models/{model}.tflite"), "tuned"))
    assert row.bit_exact
    assert row.instructions < instructions
    assert {layer.kernels for layer in row.layers} <= {"tuned", "reference"}
