"""A WSGI application that a test client calls with an environ of its own making, asked over a socket instead.

What the client says goes over HTTP/1.1 through this data plane; what it says of itself and of the server (addresses,
a scheme, whatever tests leave in an environ) is told to the application beside that.
"""

import asyncio
import http.client
import io
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar
from urllib.parse import quote

from changeover.workers.channel.connections import Connections
from changeover.workers.serving import attribution
from changeover.workers.serving.pipeline import Pipeline
from changeover.workers.serving.wsgi import WsgiApplication, WsgiCallable
from tests.exchange import Served
from tests.integration.frameworks.through_sockets import connected
from tests.waits import until
from tests.wire import connections_of

WAIT = 10.0
"""Seconds for an answer, and for the thread that gives it to end."""
OF_PATHS = "/:@!$&'()*+,;=~-._"
OF_QUERIES = OF_PATHS + "?%"
FROM_THE_WIRE = frozenset(
    {"REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "SERVER_PROTOCOL", "CONTENT_TYPE", "CONTENT_LENGTH", "wsgi.input"}
)
OF_SERVERS = frozenset({"date", "server", "content-length", "connection", "transfer-encoding"})
"""Fields of a response that a server adds."""

Environ = dict[str, Any]
T = TypeVar("T")


@dataclass
class Answer:
    """What arrived.

    Attributes:
        status: The status, with HTTP's own words.
        fields: Names and values that the application gave.
        body: All of it.
    """

    status: str
    fields: list[tuple[str, str]]
    body: bytes


class Loop:
    """A loop in a thread of its own, where applications are served."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.run(self._attribute())

    def run(self, doing: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result(3 * WAIT)

    async def _attribute(self) -> None:
        attribution.install(self._loop)


class Site:
    """One application behind one connection.

    Args:
        app: The application.
    """

    def __init__(self, app: WsgiCallable) -> None:
        self._application = WsgiApplication("app", app, threads=1)
        self._served = Served(Pipeline("app", [], self._application))
        self._connections: Connections = connections_of(self._served.dispatcher)

    @classmethod
    async def serving(cls, app: WsgiCallable, accepted: socket.socket) -> "Site":
        site = cls(app)
        site._connections.accept(accepted, "")
        return site

    async def end(self) -> None:
        await until(lambda: not self._served.units.leases, "the end of the request", WAIT)
        await self._application.close(WAIT)
        await self._connections.stop(WAIT)


class Asked:
    """The application as the data plane calls it.

    Args:
        app: What a test calls.
        given: With which environ.

    Attributes:
        raised: What it raised.
        named: Names of the fields that it gave.
    """

    def __init__(self, app: WsgiCallable, given: Environ) -> None:
        self._app = app
        self._script = given.get("SCRIPT_NAME", "")
        self._told = {key: value for key, value in given.items() if not _is_from_the_wire(key)}
        self.raised: BaseException | None = None
        self.named: set[str] = set()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            self.named = {name.lower() for name, _ in headers}
            return start_response(status, headers, exc_info)

        environ.update(self._told)
        environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(self._script)
        try:
            answer = self._app(environ, start)
        except BaseException as error:
            self.raised = error
            raise
        return answer if isinstance(answer, list | tuple) else Pieces(answer, self)


class Pieces:
    """What an application returned, and what it raises while it is iterated."""

    def __init__(self, answer: Iterable[bytes], asked: Asked) -> None:
        self._answer = answer
        self._asked = asked
        if hasattr(answer, "close"):
            self.close: Callable[[], None] = answer.close

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._answer
        except BaseException as error:
            self._asked.raised = error
            raise


def _is_from_the_wire(key: str) -> bool:
    return key in FROM_THE_WIRE or key.startswith("HTTP_")


_loops: list[Loop] = []
_asked = count()


def tell() -> None:
    """Print how often an application was asked: that a client was replaced shows by nothing else."""
    sys.stdout.write(f"\n{next(_asked)} requests over sockets\n")


def ask(app: WsgiCallable, environ: Environ) -> Answer:
    """Ask an application what an environ says; what it raises is raised here, too."""
    if not _loops:
        _loops.append(Loop())
    next(_asked)
    (loop,), asked = _loops, Asked(app, environ)
    client, accepted = connected()
    answer: Answer | None = None
    with client:
        site = loop.run(Site.serving(asked, accepted))
        try:
            answer = _over(client, environ, asked)
        except (http.client.HTTPException, OSError):
            if asked.raised is None:
                raise
        finally:
            client.close()
            loop.run(site.end())
    if asked.raised is not None:
        raise asked.raised
    assert answer is not None
    return answer


def _over(client: socket.socket, environ: Environ, asked: Asked) -> Answer:
    connection = http.client.HTTPConnection(environ["SERVER_NAME"], timeout=WAIT)
    connection.sock = client
    given = environ["wsgi.input"]
    body = given.read()
    if isinstance(given, io.BytesIO):
        given.seek(0)  # it is sent once more where a redirect says so
    connection.putrequest(environ["REQUEST_METHOD"], _target(environ), skip_host=True, skip_accept_encoding=True)
    for name, value in _fields(environ):
        connection.putheader(name, value.encode("latin-1"))
    if body or environ.get("CONTENT_LENGTH"):
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    response = connection.getresponse()
    content = response.read()
    added = OF_SERVERS - asked.named
    fields = [(name, value) for name, value in response.getheaders() if name.lower() not in added]
    return Answer(f"{response.status} {response.reason}", fields, content)


def _target(environ: Environ) -> str:
    path = environ.get("SCRIPT_NAME", "") + environ["PATH_INFO"]
    query = environ.get("QUERY_STRING", "")
    target = quote(path.encode("latin-1"), OF_PATHS) or "/"
    return f"{target}?{quote(query.encode('latin-1'), OF_QUERIES)}" if query else target


def _fields(environ: Environ) -> Iterator[tuple[str, str]]:
    if "HTTP_HOST" not in environ:
        yield "Host", f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            yield key.removeprefix("HTTP_").replace("_", "-").title(), value
    if environ.get("CONTENT_TYPE"):
        yield "Content-Type", environ["CONTENT_TYPE"]
