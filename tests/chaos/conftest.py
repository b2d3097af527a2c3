"""How much of it: a representative part, or every moment."""

import pytest

EVERY = "--every-moment"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(EVERY, action="store_true", help="kill at every step, not only at some that differ most")


@pytest.fixture
def every_moment(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption(EVERY, default=False))
