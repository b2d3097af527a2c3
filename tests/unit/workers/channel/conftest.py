"""Every test of the wire runs on both event loops."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest
import uvloop

from changeover.workers.protocol.assembly import TlsSpec
from tests.channels import certificates


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture
def certified(tmp_path: Path) -> Callable[..., TlsSpec]:
    """Put certificates for names where an artifact would be."""

    return partial(certificates, tmp_path)
