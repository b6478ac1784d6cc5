"""Options that several test files share."""

import pytest


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
