"""Runs uvicorn's own tests of WebSockets with this data plane in place of its server.

They start a `uvicorn.Server` with an application and a port, and speak to it with clients over the network. Here that
is a server with the same face; tests that call uvicorn's protocols themselves are left out. A program of its own,
called with arguments of pytest in the folder of a source distribution.
"""

import asyncio
import socket
import sys

import pytest
import uvicorn

from changeover.workers.channel.connections import Connections
from changeover.workers.channel.limits import Limits
from changeover.workers.serving import attribution
from changeover.workers.serving.asgi import Application
from changeover.workers.serving.pipeline import Pipeline
from tests.exchange import Served
from tests.wire import connections_of

WAIT = 1.0
"""Seconds for an application to start and to end."""
SWEEP = 0.02
"""Seconds between two looks at what is overdue."""


class InPlaceOfUvicorn:
    """What the tests use of `uvicorn.Server`.

    Args:
        config: Has the application, the port and what differs from the defaults.

    Attributes:
        started: Whether it accepts.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        self.started = False
        self._application = Application("app", config.app)  # type: ignore[arg-type]
        self._lifespan = config.lifespan != "off"
        self._served = Served(Pipeline("app", [], self._application))
        self._connections = self._made(config)
        self._listener = socket.create_server(("127.0.0.1", config.port))
        self._listener.setblocking(False)

    def _made(self, config: uvicorn.Config) -> Connections:
        limits = Limits(
            message=config.ws_max_size,
            deflate=config.ws_per_message_deflate,
            ping_interval=config.ws_ping_interval or 0,
            ping_timeout=config.ws_ping_timeout or 0,
        )
        return connections_of(self._served.dispatcher, limits, server="uvicorn" if config.server_header else "")

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept until it is cancelled."""
        loop = asyncio.get_running_loop()
        attribution.install(loop)
        if self._lifespan:
            await self._application.start(WAIT)
        sweeping = asyncio.create_task(self._sweep())
        self.started = True
        try:
            while True:
                accepted, _ = await loop.sock_accept(self._listener)
                self._connections.accept(accepted, "")
        finally:
            sweeping.cancel()
            self._listener.close()

    async def shutdown(self) -> None:
        """Let every connection and every call of the application end."""
        await self._connections.stop(WAIT)
        async with asyncio.timeout(WAIT):
            while self._served.units.leases:
                await asyncio.sleep(SWEEP)
        if self._lifespan:
            await self._application.stop(WAIT)
        attribution.uninstall()

    async def _sweep(self) -> None:
        while True:
            self._connections.sweep(asyncio.get_running_loop().time())
            await asyncio.sleep(SWEEP)


class OverTheNetwork:
    """Selects the tests that start a server."""

    def pytest_collection_modifyitems(self, items: list[pytest.Function]) -> None:
        items[:] = [item for item in items if "run_server" in item.function.__code__.co_names]


def main() -> int:
    """Run the tests, which are in a package `tests` as this project's are."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    uvicorn.Server = InPlaceOfUvicorn  # type: ignore[misc,assignment]
    return pytest.main(plugins=[OverTheNetwork()])


if __name__ == "__main__":
    sys.exit(main())
