"""Every operator alone: TFLM's bytes, in numpy and in C."""

import numpy as np
import pytest

from support.judge import Tflm, assert_matches_tflm
from support.random_network import OPERATORS, single_operator
from tinyseal.errors import UnsupportedError
from tinyseal.graph.ops import lower
from tinyseal.graph.tflite import import_tflite

CASES = 3


@pytest.mark.parametrize("name", OPERATORS)
def test_operator_gives_tflms_bytes(name, tmp_path, campaign):
    for seed in range(CASES * campaign):
        rng = np.random.default_rng([seed, *name.encode()])
        assert_matches_tflm(single_operator(rng, name), rng, runs=6, tmp_path=tmp_path)


@pytest.mark.parametrize("name", OPERATORS)
def test_scales_far_apart_give_tflms_bytes_or_are_refused(name, tmp_path, campaign):
    for seed in range(CASES * campaign):
        rng = np.random.default_rng([seed, *name.encode(), 1])
        model = single_operator(rng, name, wild=True)
        try:
            graph = import_tflite(model, "model")
            lower(graph, graph.ops[0])
        except UnsupportedError:
            continue  # and TFLM is not asked: some scales abort it
        try:
            Tflm(model)
        except RuntimeError:
            continue  # an activation's bound overflows its 32 bits; here it saturates
        assert_matches_tflm(model, rng, runs=6, tmp_path=tmp_path)
