"""Runs Starlette's and FastAPI's own tests with a TestClient that asks over sockets, through this data plane.

By itself their TestClient calls the application with messages that it makes up. Here it serves the application in the
same loop, over HTTP/1.1, and asks with the standard library's client: what the tests expect of the application is
expected of what really arrives. A program of its own, called with arguments of pytest in the folder of a source
distribution.
"""

import asyncio
import http.client
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from starlette import testclient

from changeover.workers.channel.connections import Connections
from changeover.workers.serving import attribution
from changeover.workers.serving.asgi import Application
from changeover.workers.serving.pipeline import Pipeline
from tests.exchange import Served
from tests.wire import connections_of

WAIT = 10.0
"""Seconds for an answer, and for an application to return after it."""
PORTS = {"http": 80, "https": 443}

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
InMemory = testclient._TestClientTransport
answer_in_memory = InMemory.handle_request


class Asked:
    """One request of a test: an application that is told what proxies tell, and whose end is seen.

    Args:
        transport: Knows the application and what a test says of its client.
        request: What is asked.
    """

    def __init__(self, transport: InMemory, request: httpx2.Request) -> None:
        self._app = transport.app
        self._told = {
            "root_path": transport.root_path,
            "client": transport.client,
            "scheme": request.url.scheme,
            "server": (request.url.host, request.url.port or PORTS[request.url.scheme]),
        }
        self._application = Application("app", self)
        self._application.state = transport.app_state
        self._called = False
        self._ended = asyncio.Event()
        self.raised: BaseException | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        self._called = True
        try:
            await self._app({**scope, **self._told}, receive, send)
        except BaseException as error:
            self.raised = error
            raise
        finally:
            self._ended.set()

    async def serve(self, accepted: socket.socket) -> Connections:
        """Serve the connection of its client."""
        attribution.install(asyncio.get_running_loop())
        connections = connections_of(Served(Pipeline("app", [], self._application)).dispatcher)
        connections.accept(accepted, "")
        return connections

    async def end(self, connections: Connections) -> None:
        """Wait for the application, and close."""
        if self._called:
            await asyncio.wait_for(self._ended.wait(), WAIT)
        await connections.stop(WAIT)
        attribution.uninstall()


def connected() -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection over loopback: the client's, the server's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), timeout=WAIT)
        accepted, _ = listener.accept()
    accepted.setblocking(False)
    return client, accepted


def over(client: socket.socket, request: httpx2.Request) -> httpx2.Response:
    """Ask, and read the whole response."""
    connection = http.client.HTTPConnection(request.url.host, timeout=WAIT)
    connection.sock = client
    body = request.read()
    chunked = "transfer-encoding" in request.headers
    connection.putrequest(request.method, request.url.raw_path.decode(), skip_host=True, skip_accept_encoding=True)
    for name, value in request.headers.raw:
        connection.putheader(name, value)
    connection.endheaders([body] if chunked else body, encode_chunked=chunked)
    response = connection.getresponse()
    content = response.read()
    return httpx2.Response(
        response.status, headers=response.getheaders(), stream=httpx2.ByteStream(content), request=request
    )


def answer_over_a_socket(transport: InMemory, request: httpx2.Request) -> httpx2.Response:
    """What the TestClient does with a request, instead of calling the application."""
    if request.url.scheme not in PORTS:
        return answer_in_memory(transport, request)  # a WebSocket, of which only few tests make use
    asked = Asked(transport, request)
    client, accepted = connected()
    with transport.portal_factory() as portal, client:
        connections = portal.call(asked.serve, accepted)
        try:
            return over(client, request)
        except http.client.HTTPException:
            if asked.raised is None:
                raise
            raise asked.raised from None
        finally:
            client.close()
            portal.call(asked.end, connections)
            if asked.raised is not None and transport.raise_server_exceptions:
                raise asked.raised


def same(value: Any) -> Any:
    """What `inline_snapshot` is for those who only compare."""
    return value


def main() -> int:
    """Run the tests, which are in a package `tests` as this project's are."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    sys.modules["inline_snapshot"] = SimpleNamespace(snapshot=same, Is=same)  # type: ignore[assignment]
    InMemory.handle_request = answer_over_a_socket  # type: ignore[assignment,method-assign]
    return pytest.main()


if __name__ == "__main__":
    sys.exit(main())
