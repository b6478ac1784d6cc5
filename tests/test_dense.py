"""Convolutions, pools, reductions, softmax: TFLM's bytes, from the reference and from C."""

from pathlib import Path

import numpy as np
import pytest

from support.dense_cases import CASES
from support.judge import assert_matches_tflm
from support.tflite_builder import ModelBuilder

MODELS = Path(__file__).resolve().parents[1] / "models"
OPS_A_MODEL = 12


@pytest.mark.parametrize("kind", CASES)
def test_random_operators_match_tflm(kind, campaign, tmp_path):
    for case in range(3 * campaign):
        seed = [case, *kind.encode()]
        rng = np.random.default_rng(seed)
        b = ModelBuilder()
        for _ in range(OPS_A_MODEL):
            CASES[kind](b, rng)
        optimise = ("-O1", "-O2")[case % 2]
        assert_matches_tflm(b.build(), rng, runs=6, tmp_path=tmp_path, optimise=optimise)


@pytest.mark.parametrize("name", ["ad", "ic", "kws", "vww"])
@pytest.mark.parametrize("optimise", ["-O1", "-O2"])
def test_mlperf_tiny_models_match_tflm(name, optimise, campaign, tmp_path):
    model = (MODELS / f"{name}_int8.tflite").read_bytes()
    rng = np.random.default_rng(len(name))
    assert_matches_tflm(model, rng, runs=8 * campaign, tmp_path=tmp_path, optimise=optimise)
