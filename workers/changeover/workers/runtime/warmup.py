"""Serves a few requests of its own before the first client comes.

Connections that are handed over come all at once, and their clients wait. That would be when the interpreter
specialises the code which answers, and when the system copies the pages it touches, shared with the zygote until then.
"""

import asyncio
import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from changeover.workers.channel.connection import Connection
from changeover.workers.channel.connections import Connections
from changeover.workers.channel.limits import Limits
from changeover.workers.http.initializer import HttpInitializer
from changeover.workers.protocol.snapshot import Route
from changeover.workers.serving.asgi import Application, Receive, Scope, Send
from changeover.workers.serving.dispatch import LiveDispatcher
from changeover.workers.serving.lease import UnitSet
from changeover.workers.serving.pipeline import Pipeline
from changeover.workers.serving.router import ApplicationRouter, Target

logger = logging.getLogger(__name__)

CONNECTIONS = 8
"""At the same time. The interpreter specialises a function after eight calls."""
REQUESTS = 3
"""On each connection, before it is handed over and after."""
DEADLINE = 5.0
"""Seconds after which it is given up; it takes some milliseconds."""
REQUEST = b"GET /warm HTTP/1.1\r\nHost: warm\r\nUser-Agent: changeover\r\nAccept: */*\r\n\r\n"
NAME = "warm-up"


@dataclass(frozen=True, slots=True)
class _Generation:
    epoch: int
    router: ApplicationRouter


@dataclass(frozen=True, slots=True)
class _Admission:
    generation: _Generation

    def admit(self) -> _Generation:
        """See `Admission`."""
        return self.generation


async def warm_up() -> None:
    """Serve connections that nobody else knows of, and hand each over once; what goes wrong is told, no more."""
    clients: list[socket.socket] = []
    before, after = _connections(), _connections()
    try:
        async with asyncio.timeout(DEADLINE):
            for _ in range(CONNECTIONS):
                clients.append(_client_of(before))
            await _ask(clients)
            await _pass_on(before, after)
            await _ask(clients)
    except Exception as error:
        logger.warning("slower at first: the worker could not warm up: %r", error, exc_info=error)
    finally:
        for client in clients:
            client.close()
        for connections in (before, after):
            await connections.stop(0.0)


def _connections() -> Connections:
    pipeline, limits = Pipeline(NAME, (), Application(NAME, _greet)), Limits()
    target = Target(Route(NAME), pipeline, UnitSet((), pipeline.counters))
    admission = _Admission(_Generation(0, ApplicationRouter([target])))
    return Connections(HttpInitializer(LiveDispatcher(admission, worker=0), limits), limits)


async def _greet(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"warm"})


def _client_of(connections: Connections) -> socket.socket:
    client, accepted = socket.socketpair()
    client.setblocking(False)
    accepted.setblocking(False)
    connections.accept(accepted, NAME)
    return client


async def _ask(clients: Sequence[socket.socket]) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(REQUESTS):
        for client in clients:
            client.send(REQUEST)
        for client in clients:
            await loop.sock_recv(client, 4096)


async def _pass_on(before: Connections, after: Connections) -> None:
    rested = asyncio.Queue[Connection]()
    before.leave(rested.put_nowait)
    for _ in range(CONNECTIONS):
        if (parted := before.part(await rested.get())) is not None:
            after.adopt(*parted)
