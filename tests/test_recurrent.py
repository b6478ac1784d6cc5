"""SVDF and LSTM give TFLM's bytes over inferences that follow each other; so does their C."""

from __future__ import annotations

import numpy as np
import pytest

from support.host_capsule import HostCapsule
from support.judge import assert_matches_tflm, sample_inputs
from support.small_models import add_lstm
from support.tflite_builder import ModelBuilder
from tinyseal.errors import UnsupportedError
from tinyseal.graph.ops import lower
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.tflite import import_tflite
from tinyseal.plan.planner import plan
from tinyseal.profiles import load_board

RUNS = 14  # longer than any memory below, and each kind of input twice


def svdf_model(
    rng, batch=1, depth=5, filters=6, memory=4, rank=2, state="int16", state_zp=0, zp=-3,
    state_scale=0.004,
):  # fmt: skip
    b = ModelBuilder()
    x = b.input("x", (batch, depth), scale=0.05, zp=zp)
    y = b.tensor("y", (batch, filters // rank), scale=0.08, zp=int(rng.integers(-128, 128)))
    low = np.iinfo(state).min + 1
    feature = b.const(
        "feature", rng.integers(-127, 128, (filters, depth), dtype=np.int8), scale=0.02
    )
    time_weights = rng.integers(low // 4, -low // 4, (filters, memory)).astype(state)
    time_scale = 0.01 if state == "int8" else 1e-4
    time = b.const("time", time_weights, scale=time_scale)
    bias = b.const(
        "bias",
        rng.integers(-20000, 20000, filters // rank, dtype=np.int32),
        scale=time_scale * state_scale,
    )
    kept = b.variable("state", (batch, memory * filters), state, scale=state_scale, zp=state_zp)
    b.op("SVDF", [x, feature, time, bias, kept], [y], 3, rank=rank)
    b.output(y)
    return b.build()


@pytest.mark.parametrize("state", ["int8", "int16"])
@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"batch": 3},
        {"rank": 1, "filters": 1, "memory": 1, "depth": 1},
        {"memory": 9, "filters": 15, "rank": 3, "depth": 11},
        {"batch": 2, "memory": 1, "zp": 127},
        {"zp": -128, "state_scale": 2e-5},  # the state saturates
    ],
)
def test_svdf_gives_tflm_bytes(state, sizes, tmp_path):
    rng = np.random.default_rng(len(str(sizes)))
    assert_matches_tflm(svdf_model(rng, state=state, **sizes), rng, RUNS, tmp_path)


@pytest.mark.parametrize("zero_point", [-128, 5, 127])
def test_svdf_starts_int8_state_at_its_zero_point(zero_point, tmp_path):
    rng = np.random.default_rng(5)
    model = svdf_model(rng, state="int8", state_zp=zero_point)
    assert_matches_tflm(model, rng, RUNS, tmp_path)


@pytest.mark.parametrize("time_major", [False, True])
@pytest.mark.parametrize(
    "sizes",
    [
        {"time": 1, "batch": 1, "depth": 1, "cells": 1},
        {"time": 5, "batch": 1, "depth": 3, "cells": 7},
        {"time": 3, "batch": 3, "depth": 9, "cells": 4},
        {"time": 4, "batch": 2, "depth": 2, "cells": 5, "cell_clip": 1.5},
        {"time": 6, "batch": 1, "depth": 16, "cells": 12, "cell_scale": 2.0**-15},
        {"time": 6, "batch": 1, "depth": 16, "cells": 12, "cell_scale": 2.0**-9},
    ],
)
def test_lstm_gives_tflm_bytes(time_major, sizes, tmp_path):
    rng = np.random.default_rng(sum(map(int, sizes.values())))
    b = ModelBuilder()
    add_lstm(b, time_major=time_major, seed=3, **sizes)
    assert_matches_tflm(b.build(), rng, RUNS, tmp_path)


def test_random_recurrent_layers_give_tflm_bytes(campaign):
    rng = np.random.default_rng(11)
    for _ in range(15 * campaign):
        b = ModelBuilder()
        time, batch, depth, cells = (int(n) for n in rng.integers(1, 12, 4))
        add_lstm(
            b,
            time=time,
            batch=batch,
            depth=depth,
            cells=cells,
            time_major=bool(rng.integers(2)),
            seed=int(rng.integers(1 << 30)),
            cell_clip=float(rng.choice([0.0, 0.7, 30.0])),
            cell_scale=2.0 ** -int(rng.integers(8, 16)),
        )
        assert_matches_tflm(b.build(), rng, 3)
        rank = int(rng.integers(1, 4))
        batch, depth, units, memory = (int(n) for n in rng.integers(1, 9, 4))
        state = str(rng.choice(["int8", "int16"]))
        model = svdf_model(
            rng, batch, depth, units * rank, memory, rank, state, zp=int(rng.integers(-128, 128))
        )
        assert_matches_tflm(model, rng, 6)


def test_two_recurrent_layers_keep_their_states_apart(tmp_path):
    rng = np.random.default_rng(2)
    b = ModelBuilder()
    add_lstm(b, time=3, batch=1, depth=2, cells=4, time_major=False, seed=1)
    add_lstm(b, time=2, batch=2, depth=3, cells=3, time_major=False, seed=2)
    assert_matches_tflm(b.build(), rng, RUNS, tmp_path)


def test_reset_starts_over(tmp_path):
    rng = np.random.default_rng(4)
    graph = import_tflite(svdf_model(rng, state="int8", state_zp=9), "model")
    capsule = HostCapsule(plan(graph, load_board("host")), tmp_path)
    reference = Interpreter(graph)
    inputs = [sample_inputs(graph, rng, run) for run in range(5)]
    first = [capsule.invoke(x)[0] for x in inputs]
    assert not np.array_equal(first[0], capsule.invoke(inputs[0])[0])
    capsule.reset()
    reference.reset()
    for x, expected in zip(inputs, first, strict=True):
        np.testing.assert_array_equal(capsule.invoke(x)[0], expected)
        np.testing.assert_array_equal(reference.invoke(x)[0], expected)


def test_state_is_planned_apart_from_the_rest():
    rng = np.random.default_rng(4)
    graph = import_tflite(svdf_model(rng), "model")
    made = plan(graph, load_board("host"))
    state = made.buffers[4 if graph.tensor(4).is_variable else 5]
    assert state.bytes == 4 * 6 * 2
    assert made.state_bytes[state.region] >= state.offset + state.bytes


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"cell_scale": 0.0007}, "power of two"),
        ({"activation": "NONE"}, "only TANH"),
    ],
)
def test_an_lstm_tflm_does_not_compute_is_refused(change, what):
    b = ModelBuilder()
    add_lstm(b, time=1, batch=1, depth=2, cells=2, time_major=False, seed=1,
             cell_scale=change.get("cell_scale", 2.0**-11))  # fmt: skip
    if "activation" in change:
        b.graph.operators[0].builtinOptions.fusedActivationFunction = 0
    graph = import_tflite(b.build(), "model")
    with pytest.raises(UnsupportedError, match=what):
        lower(graph, graph.ops[0])
