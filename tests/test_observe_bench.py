"""Drift that is put into streams is told of soon, and none is not."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from support.watched_fleet import digits
from tinyseal.cli import app

MODEL = "models/digits_int8.tflite"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The reference is one half of the digits, the streams are made of the other."""
    folder = tmp_path_factory.mktemp("drift")
    images = np.random.default_rng(2).permutation(digits())
    np.save(folder / "reference.npy", images[:180])
    late = images[180:]
    quieter = ((late.astype(int) + 128) * 7 // 10 - 128).astype(np.int8)
    dead = late.copy()
    dead[:, :, 3] = -128
    np.savez(folder / "streams.npz", none=late, quieter=quieter, dead=dead)
    return folder / "streams.npz", folder / "reference.npy"


def bench(streams, reference, *words, code=0):
    command = ["observe", "bench", streams, "--reference", reference, "--model", MODEL, *words]
    done = CliRunner().invoke(app, list(map(str, command)))
    assert done.exit_code == code, (done.output, done.exception)
    return done


def test_drift_is_told_at_once_and_floating_point_agrees(files):
    words = ("--window", 64, "--clean", 100, "--streams", 2, "--json")
    told = json.loads(bench(*files, *words).stdout)
    judges = list(told["false_alarms"])
    assert judges[:3] == ["device", "floating point", "ADWIN 0.002"]
    assert told["false_alarms"]["device"] <= 20, "in 1,000 windows"
    seen = {(d["drift"], d["judge"]): d for d in told["detections"]}
    for drift in ("quieter", "dead", "lower classes only"):
        assert seen[drift, "device"]["seen"] == 2 and seen[drift, "device"]["most"] <= 2
    assert told["compared"] == 100 + 2 * 4 * 40
    assert told["agreed"] >= 0.99 * told["compared"]
    assert told["difference"] < 0.1
    mixed = seen["lower classes twice as often", "device"]
    assert mixed["seen"] == 2 and mixed["most"] <= 12


def test_drift_that_comes_slowly_is_told_on_its_way(files):
    words = ("--window", 64, "--clean", 50, "--streams", 1, "--ramp", 20)
    told = json.loads(bench(*files, *words, "--json").stdout)
    seen = {d["drift"]: d for d in told["detections"] if d["judge"] == "device"}
    assert told["ramp"] == 20 and all(1 < seen[d]["most"] < 20 for d in ("quieter", "dead"))
    assert "dead" in bench(*files, *words).stdout


def test_wrong_streams_are_one_line(files, tmp_path):
    _, reference = files
    np.savez(tmp_path / "s.npz", dead=np.zeros((5, 8, 8, 1), dtype=np.int8))
    for bad, said in ((tmp_path / "s.npz", "none is named 'none'"), (reference, "no .npz"),
                      (tmp_path / "x", "no .npz")):  # fmt: skip
        assert said in str(bench(bad, reference, code=1).exception)
