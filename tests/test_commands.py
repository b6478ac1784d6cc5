"""The list of commands: it comes at once, and each that it names is there."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from tinyseal.cli import COMMANDS, app
from tinyseal.cli.torture import COMMANDS as CAMPAIGNS

HEAVY = {"numpy", "tflite", "jinja2", "sqlalchemy", "smpclient", "cryptography"}


def test_the_list_comes_without_the_heavy_modules():
    code = (
        "import sys; from tinyseal.cli import app; app(['--help'], standalone_mode=False); "
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in COMMANDS)
    assert not HEAVY & set(done.stderr.split())


@pytest.mark.parametrize(
    "words", [(name,) for name in COMMANDS] + [("torture", name) for name in CAMPAIGNS]
)
def test_each_command_explains_itself(words):
    done = CliRunner().invoke(app, [*words, "--help"])
    assert done.exit_code == 0, done.output
    assert "Usage:" in done.output
    assert ("--install-completion" in done.output) is False, "that is the whole tool's"


def test_a_slip_of_the_pen_is_answered_with_the_command_meant():
    done = CliRunner().invoke(app, ["tortur"])
    assert done.exit_code == 2
    assert "'torture'" in done.output
