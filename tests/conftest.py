"""Options that several test files share."""

import itertools
import os
import signal

import pytest
from hypothesis import settings

from support.databases import create, programs, server

# The same cases in every run, so that a change is judged by what it changed; other ones with
# --hypothesis-profile=explore. No deadline: a busy machine is not a fault.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("repeatable")

os.environ.setdefault("COLUMNS", "120")  # of the tables that tests read

# Tools are interrupted here; what a shell runs in the background ignores that, and what it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# With pytest -n, each process builds in a folder of its own, and takes objects from the others.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("TINYSEAL_OBJECTS", "build/objects")
    os.environ.setdefault("TINYSEAL_BUILD", f"build/{os.environ['PYTEST_XDIST_WORKER']}")


# Files that take longest, longest first. --dist loadfile hands files out in this order: the short
# ones at the end keep all processes busy, where xdist would begin with those that have most tests.
LONGEST = (
    "test_faults", "test_flash_boards", "test_firmware", "test_ota", "test_chips",
    "test_micropython", "test_torture_kill", "test_crypto_boards", "test_ecdsa",
    "test_bootloader_size", "test_meter_boards",
    "test_chain", "test_micropython_ota", "test_hil", "test_observe_boards", "test_mlperf",
    "test_random_networks", "test_cmsis_nn", "test_tuned", "test_scalar", "test_air", "test_rp2040",
    "test_binary", "test_dense", "test_chain_encrypted", "test_build", "test_export", "test_bench",
)  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONGEST)))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--campaign",
        type=int,
        default=1,
        metavar="N",
        help="how many times its default number of cases every random test runs",
    )


@pytest.fixture
def campaign(request: pytest.FixtureRequest) -> int:
    """Factor for the number of random cases: 1, or what `--campaign N` says."""
    factor = request.config.getoption("--campaign")
    assert isinstance(factor, int)
    return factor


@pytest.fixture(scope="session")
def postgresql():
    """Makes databases, each with a URL of its own."""
    if programs() is None:
        pytest.skip("PostgreSQL is not here: ./setup test")
    with server() as url:
        numbers = itertools.count()
        yield lambda: create(url, f"test_{next(numbers)}")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path):
    """The fleet's database, of each kind that is meant to work."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/fleet.db"
    return request.getfixturevalue("postgresql")()
