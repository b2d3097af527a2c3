"""How much of it: a representative part, or all."""

import pytest

EVERY = "--every-moment"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(EVERY, action="store_true", help="all of it: at every step, not only at some that differ most")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption(EVERY, default=False):
        return
    left_out = [item for item in items if item.get_closest_marker("every_moment")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def every_moment(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption(EVERY, default=False))
