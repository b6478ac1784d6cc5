"""./setup says what is wrong in one line."""

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture
def fresh(tmp_path):
    """A clone as ./setup sees it, without a venv, on a machine with the basic tools only."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "cat", "cmp", "dirname", "grep", "paste", "readlink", "sed", "sort", "tr"):
        (tools / name).symlink_to(shutil.which(name))
    for name in ("setup", "pyproject.toml", "requirements.lock"):
        shutil.copy(PROJECT / name, tmp_path)

    def setup(*arguments):
        return subprocess.run(
            [str(tmp_path / "setup"), *arguments],
            env={"PATH": str(tools)}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return setup


def test_check_names_what_is_missing(fresh, tmp_path):
    before = sorted(tmp_path.iterdir())
    result = fresh("--check")
    assert result.returncode == 1
    assert "missing Debian packages: gcc libc6-dev gcc-arm-none-eabi" in result.stdout
    assert ".venv is missing" in result.stdout
    assert sorted(tmp_path.iterdir()) == before


def test_without_apt_the_packages_are_named(fresh):
    result = fresh()
    assert result.returncode == 1
    assert result.stderr.startswith("setup: error: no apt-get here")
    assert "qemu-system-arm" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("argument", ["nonsense", "--nonsense"])
def test_wrong_argument_is_one_line(fresh, argument):
    result = fresh(argument)
    assert result.returncode == 1
    assert argument in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-train.lock"])
def test_lock_has_every_requirement(lock):
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = list(project["dependencies"])
    for extra, packages in extras.items():
        if extra != "train" or "train" in lock:
            asked += packages
    lines = (PROJECT / lock).read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    for requirement in map(Requirement, asked):
        version = pins.get(canonicalize_name(requirement.name))
        assert version, f"{requirement} is not in {lock}: run ./setup --lock"
        assert requirement.specifier.contains(version, prereleases=True), str(requirement)
