import pytest

from tests.participants import Bench


@pytest.fixture
def bench() -> Bench:
    """A worker whose sockets are there."""
    return Bench()
