"""How little a WSGI application takes beside this loop: one hop to a thread, and one call of the loop for all answers.

Usage: python -m {package}.floor_wsgi PORT
"""

import asyncio
import io
import sys
import threading
from collections import deque
from collections.abc import Iterable
from queue import SimpleQueue
from typing import Any

import uvloop

from .floor import DATE, Head, Remembering, serve
from .wsgi import app

THREADS = 4

Environ = dict[str, Any]


class Hop:
    """Threads that call the application, and the way back to the loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._asked: SimpleQueue[tuple[Head, Environ, asyncio.Transport]] = SimpleQueue()
        self._answers: deque[tuple[asyncio.Transport, bytes]] = deque()
        self._called = False
        for _ in range(THREADS):
            threading.Thread(target=self._work, daemon=True).start()

    def ask(self, head: Head, ways: Environ, transport: asyncio.Transport) -> None:
        """Have a thread answer; on the loop."""
        self._asked.put((head, ways, transport))

    def _work(self) -> None:
        while True:
            head, ways, transport = self._asked.get()
            self._answers.append((transport, answered(environ_of(head, ways))))
            if not self._called:
                self._called = True
                self._loop.call_soon_threadsafe(self._send)

    def _send(self) -> None:
        self._called = False
        while self._answers:
            transport, answer = self._answers.popleft()
            if not transport.is_closing():
                transport.write(answer)


def environ_of(head: Head, ways: Environ) -> Environ:
    """What the application is given; what it says of the connection is in `ways`."""
    made = {
        "REQUEST_METHOD": head.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": head.path,
        "QUERY_STRING": head.query.decode("latin-1"),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        **ways,
    }
    for name, value in head.fields:
        made["HTTP_" + name.decode("latin-1").upper().replace("-", "_")] = value.decode("latin-1")
    return made


def answered(environ: Environ) -> bytes:
    """Call the application; its whole answer."""
    lines: list[bytes] = []

    def start_response(status: str, headers: Iterable[tuple[str, str]], exc_info: object = None) -> Any:
        lines.append(f"HTTP/1.1 {status}\r\n".encode("latin-1"))
        for name, value in headers:
            lines.append(f"{name}: {value}\r\n".encode("latin-1"))
        lines.append(DATE)

    body = app(environ, start_response)
    try:
        lines += body
    finally:
        if (close := getattr(body, "close", None)) is not None:
            close()
    return b"".join(lines)


class Hopping(Remembering):
    """Leaves each request to a thread."""

    _hop: Hop | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if Hopping._hop is None:
            Hopping._hop = Hop()
        self._to = Hopping._hop
        host, port = transport.get_extra_info("peername")
        name, served = transport.get_extra_info("sockname")
        self._ways = {"REMOTE_ADDR": host, "REMOTE_PORT": str(port), "SERVER_NAME": name, "SERVER_PORT": str(served)}

    def answer(self, head: Head) -> None:
        self._to.ask(head, self._ways, self._transport)


if __name__ == "__main__":
    uvloop.run(serve(Hopping, int(sys.argv[1])))
