"""A workshop with plugins written as text, snapshots made of them, and everything that it told."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bench import Bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A workshop on its own; it must end without anything resident."""
    bench = Bench(tmp_path)
    yield bench
    await bench.workshop.close()
    assert bench.workshop.resident() == ()
