"""Every operator alone: TFLM's bytes, in numpy and in C."""

import numpy as np
import pytest

from support.judge import assert_matches_tflm
from support.random_network import OPERATORS, single_operator

CASES = 3


@pytest.mark.parametrize("name", OPERATORS)
def test_operator_gives_tflms_bytes(name, tmp_path, campaign):
    for seed in range(CASES * campaign):
        rng = np.random.default_rng([seed, *name.encode()])
        assert_matches_tflm(single_operator(rng, name), rng, runs=6, tmp_path=tmp_path)
