"""The tuned recurrent layers have the reference's bytes, in each core's layout of weights."""

import numpy as np
import pytest

from support.host_capsule import HostCapsule
from support.judge import sample_inputs
from support.small_models import add_lstm
from support.tflite_builder import ModelBuilder
from test_recurrent import svdf_model
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.tflite import import_tflite
from tinyseal.plan.kernels import KernelSet, sums
from tinyseal.plan.planner import plan
from tinyseal.profiles import load_board

# One of a layout: packed products, vectors, and channels by eight. Those by four (M0, M3, Xtensa)
# have the same portable source, compiled for these boards in test_kernels_compile.
BOARDS = ("qemu-m4", "qemu-m55", "qemu-rv32")


def assert_exact(model, board, folder, rng, function, runs=10):
    graph = import_tflite(model, "model")
    made = plan(graph, load_board(board), KernelSet.TUNED)
    assert [step.kernel.function for step in made.steps] == [function]
    reference, capsule = Interpreter(graph), HostCapsule(made, folder)
    for run in range(runs):
        inputs = sample_inputs(graph, rng, run)
        np.testing.assert_array_equal(capsule.invoke(inputs)[0], reference.invoke(inputs)[0])


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("state", ["int8", "int16"])
def test_svdf_equals_the_reference(board, state, campaign, tmp_path):
    rng = np.random.default_rng(len(board + state))
    function = "nn_sums_svdf_s8" if state == "int8" else "nn_sums_svdf_s8_s16"
    for _ in range(5 * campaign):
        rank = int(rng.integers(1, 4))
        batch, depth, units, memory = (int(n) for n in rng.integers(1, (4, 40, 9, 12)))
        model = svdf_model(
            rng, batch, depth, units * rank, memory, rank, state, zp=int(rng.integers(-128, 128)),
            state_zp=int(rng.integers(-128, 128)) if state == "int8" else 0,
            state_scale=float(rng.choice([0.004, 2e-5])),
        )  # fmt: skip
        assert_exact(model, board, tmp_path, rng, function)


@pytest.mark.parametrize("board", BOARDS)
def test_lstm_equals_the_reference(board, campaign, tmp_path):
    rng = np.random.default_rng(len(board))
    for _ in range(8 * campaign):
        b = ModelBuilder()
        time, batch, depth, cells = (int(n) for n in rng.integers(1, (6, 4, 40, 20)))
        add_lstm(
            b, time=time, batch=batch, depth=depth, cells=cells,
            time_major=bool(rng.integers(2)), seed=int(rng.integers(1 << 30)),
            cell_clip=float(rng.choice([0.0, 0.7, 30.0])),
            cell_scale=2.0 ** -int(rng.integers(8, 16)),
        )  # fmt: skip
        assert_exact(b.build(), board, tmp_path, rng, "nn_sums_lstm_s8", runs=4)


def test_a_scale_out_of_its_range_is_left_to_the_reference(tmp_path):
    """Sums that a factor above 1 would shift out of 32 bits."""
    rng = np.random.default_rng(1)
    model = svdf_model(rng, depth=200, filters=2, rank=1, state_scale=1e-9)
    assert_exact(model, "qemu-m4", tmp_path, rng, "nn_svdf_s8_s16", runs=3)


def test_the_curve_is_the_tables_on_both_sides_of_zero():
    whole = sums.curve() >> 16
    assert len(whole) == 511 and whole[255] == 32768
    np.testing.assert_array_equal(whole[256:] + whole[254::-1], 65536)
    np.testing.assert_array_equal((sums.curve() & 0xFFFF)[:-1], np.diff(whole.astype(np.int64)))
