"""The importer reads what the converters write, and refuses the rest in one line."""

from pathlib import Path

import numpy as np
import pytest

from support.judge import assert_matches_tflm
from tinyseal.graph.load import load_model

MODELS = Path(__file__).resolve().parents[1] / "models"


@pytest.mark.parametrize(
    ("name", "ops", "inputs", "classes"),
    [("kws", 13, (1, 49, 10, 1), 12), ("ic", 16, (1, 32, 32, 3), 10),
     ("vww", 31, (1, 96, 96, 3), 2), ("ad", 10, (1, 640), 640)],
)  # fmt: skip
def test_the_mlperf_tiny_models_import(name, ops, inputs, classes):
    graph = load_model(MODELS / f"{name}_int8.tflite")
    assert graph.name == f"{name}_int8"
    assert len(graph.ops) == ops
    assert [graph.tensor(i).shape for i in graph.inputs] == [inputs]
    assert [graph.tensor(i).shape for i in graph.outputs] == [(1, classes)]


def test_anomaly_detection_gives_tflm_bytes():
    model = (MODELS / "ad_int8.tflite").read_bytes()
    assert_matches_tflm(model, np.random.default_rng(1), runs=8)
