"""What serves requests is tested on both event loops, everything else on the standard one."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from tests.service import Story

ON_BOTH_LOOPS = {"test_asgi_apps"}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    standard: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    return {"uvloop": uvloop.new_event_loop, **standard} if item.path.stem in ON_BOTH_LOOPS else standard


@pytest.fixture
def story(tmp_path: Path) -> Story:
    """A folder of plugins that can be served."""
    return Story(tmp_path)
