"""The readers of hostile flash survive what libFuzzer makes of the corpus."""

import json

from typer.testing import CliRunner

from tinyseal.cli import app


def test_fuzz_campaign_finds_nothing(campaign):
    count = 20_000 * campaign
    done = CliRunner().invoke(app, ["torture", "fuzz", "--count", str(count), "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["count"] >= count and report["failures"] == 0 and report["seconds"] >= 0
