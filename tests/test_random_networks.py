"""Random small networks: TFLM's bytes in every tensor, through the planner and in C."""

import numpy as np
import pytest

from support.judge import assert_matches_tflm
from support.random_network import random_network

CASES = 25


@pytest.mark.parametrize("length", [4, 12, 40])
def test_network_gives_tflms_bytes(length, tmp_path, campaign):
    for seed in range(CASES * campaign):
        rng = np.random.default_rng([length, seed])
        model = random_network(rng, length)
        try:
            assert_matches_tflm(model, rng, runs=3, tmp_path=tmp_path)
        except Exception as e:
            e.add_note(f"length {length}, seed {seed}")
            raise
