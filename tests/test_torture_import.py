"""Damaged model files are read or refused; whatever else happens is found and kept."""

import json
import os
import time

import pytest
from typer.testing import CliRunner

from support.small_models import CORPUS, MODELS
from tinyseal.cli import app, torture_import
from tinyseal.cli.torture_import import load_seeds, run_campaign
from tinyseal.graph.mutate import mutate


@pytest.fixture(scope="module")
def seeds():
    return load_seeds()


def test_the_corpus_is_what_the_builder_builds():
    assert {p.stem for p in CORPUS.glob("*.tflite")} == set(MODELS)
    for name, build in MODELS.items():
        assert (CORPUS / f"{name}.tflite").read_bytes() == build(), name


def test_two_thousand_damaged_files_cause_no_failure(tmp_path):
    result = CliRunner().invoke(
        app,
        ["torture", "import", "--count", "2000", "--seed", "7", "--save", str(tmp_path), "--json"],
    )
    report = json.loads(result.stdout)
    assert result.exit_code == 0, report["failed"]
    assert report["count"] == 2000
    assert report["failures"] == 0
    assert report["refused"] + report["accepted"] == 2000
    # Both happen, or the damage misses what it aims at.
    assert report["refused"] > 100
    assert report["accepted"] > 100


def test_the_same_number_gives_the_same_file(seeds):
    assert [mutate(seeds, i, 3) for i in range(50)] == [mutate(seeds, i, 3) for i in range(50)]
    assert len({mutate(seeds, i, 3) for i in range(50)}) > 45


def _bad_at(number, bad, seeds):
    """A check that does `bad` to file `number` and reads all others."""
    wanted = mutate(seeds, number, 5)

    def check(data):
        if data == wanted:
            bad()
        return True

    return check


def _raise():
    raise KeyError("escaped")


def _fill_memory():
    bytearray(2 << 30)


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (_raise, "KeyError"),
        (_fill_memory, "MemoryError"),
        (lambda: time.sleep(60), "took longer"),
        (lambda: os._exit(3), "worker ended with 3"),
    ],
)
def test_a_failure_is_counted_and_the_campaign_goes_on(seeds, bad, what):
    tally = run_campaign(seeds, 40, 5, seconds_per_file=0.5, check=_bad_at(17, bad, seeds))
    assert [number for number, _ in tally.failures] == [17]
    assert what in tally.failures[0][1]
    assert tally.refused + tally.accepted == 39


def test_a_failing_file_is_kept_and_the_exit_code_says_so(tmp_path, monkeypatch, seeds):
    monkeypatch.setattr(torture_import, "survives", _bad_at(3, _raise, seeds))
    result = CliRunner().invoke(
        app, ["torture", "import", "--count", "10", "--seed", "5", "--save", str(tmp_path)]
    )
    assert result.exit_code == 1
    assert (tmp_path / "import-5-3.tflite").read_bytes() == mutate(seeds, 3, 5)
