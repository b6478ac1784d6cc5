"""Tuned kernels of cores without packed products have the reference's bytes, here and there."""

import subprocess

import numpy as np
import pytest

from support.host_capsule import HostCapsule
from support.tuned import layers, run_chains, run_layers
from tinyseal.board import load_board
from tinyseal.device.kernels import torture_kernels
from tinyseal.graph.ops.convolution import Conv2D
from tinyseal.plan.kernels import KernelSet, scalar
from tinyseal.plan.planner import plan

RV32 = load_board("qemu-rv32")  # as many pixels at a time as the C on the host
FUNCTIONS = {kernel.function for kernel in scalar.KERNELS}


def test_portable_form_equals_the_reference(campaign, tmp_path):
    ran = run_layers(RV32, 3 * campaign, tmp_path)
    taken = [kernel.function for kernel in ran if kernel.set is KernelSet.TUNED]
    assert len(taken) > len(ran) / 3
    assert set(taken) == FUNCTIONS


def test_layers_write_over_what_the_one_before_left(campaign, tmp_path):
    """Chains: outputs slide into their inputs' memory as far as the lag says."""
    assert run_chains(RV32, 12 * campaign, tmp_path) > 6 * campaign


@pytest.mark.parametrize("name", ["qemu-rv32", "qemu-m3", "qemu-m0", "qemu-xtensa"])
def test_board_equals_the_reference(campaign, name):
    """What the core's compiler makes of it, and the assembly."""
    result = torture_kernels(load_board(name), "tuned", 50 * campaign, seed=101)
    print(f"{result.count} layers on {name}")
    assert not result.failures
    without = {"nn_scalar_fc_s8"} if name == "qemu-xtensa" else set()
    assert set(result.functions) == FUNCTIONS - without


def test_groups_hold_as_many_weights_as_fit_and_no_more():
    """A group and the step behind it are too much for one of the channels, or too long."""
    longest = set()
    for step in plan(layers(3, 60), RV32, KernelSet.TUNED).steps:
        p = step.lowered.params
        if step.kernel.set is not KernelSet.TUNED or not isinstance(p, Conv2D):
            continue
        stream, channel_pairs, at = scalar.product(p).weights, -(-p.out_ch // 2), 0
        for _ in range(channel_pairs):
            terms, before = 0, None
            while terms < scalar.depth(p):
                size = int(stream[at])
                group = stream[at + 1 : at + 1 + size].view(np.int8).reshape(-1, 2).astype(int)
                assert size % 4 == 0 and np.abs(group).sum(axis=0).max() <= 255
                if before is not None and len(before) < 126:
                    more = np.concatenate([before, group[:2]])
                    assert np.abs(more).sum(axis=0).max() > 255
                before, at, terms = group, at + 1 + size, terms + len(group)
            longest.add(len(before))
        assert at == len(stream)
    assert max(longest) > 4


def test_weights_that_leave_a_sums_range_at_once_are_left_to_others():
    wild = np.array([[-128, -128, 1, 1], [1, 2, 3, 4]], dtype=np.int8)
    assert not scalar.fits(wild) and scalar.fits(wild[1:]) and scalar.fits(wild + 1)


def test_sources_for_another_core_do_not_compile(tmp_path, capfd):
    made = plan(layers(1, 20), load_board("qemu-xtensa"), KernelSet.TUNED)
    with pytest.raises(subprocess.CalledProcessError):
        HostCapsule(made, tmp_path)
    assert "made for lx106" in capfd.readouterr().err
