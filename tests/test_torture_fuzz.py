"""What reads hostile bytes survives what libFuzzer makes of the corpus."""

import json

import pytest
from typer.testing import CliRunner

from tinyseal.cli import app


@pytest.mark.parametrize(
    ("target", "cases"), [("readers", 200_000), ("smp", 500_000), ("fleet", 40_000)]
)
def test_fuzz_campaign_finds_nothing(campaign, target, cases):
    count = cases * campaign
    words = ["torture", "fuzz", "--target", target, "--count", str(count), "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["count"] >= count and report["failures"] == 0 and report["seconds"] >= 0
