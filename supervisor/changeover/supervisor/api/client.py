"""The other end of `control.sock`, on the standard library alone, because a command must start fast."""

import http.client
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from changeover.supervisor.errors import SupervisorError

SOCKET_NAME = "control.sock"
"""Where the control socket is, below the runtime directory."""

CONNECT = 5.0
"""Seconds until a living supervisor has taken the connection."""

ANSWER = 30.0
"""Seconds until it has answered what it need not wait for."""

LONGEST_PATH = 107
"""Bytes that the kernel takes as the path of a Unix socket."""

USER_AGENT = "changeover/1"
"""Tells the server that a command asks, not some other client."""

T = TypeVar("T")


class NoAnswer(SupervisorError):
    """Nobody serves the control socket, or whoever does fell silent.

    Attributes:
        path: The socket.
        reason: What happened.
    """

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"no answer from {path}: {reason}")


class WaitEnded(SupervisorError):
    """The caller's deadline passed; what was asked for goes on.

    Attributes:
        seconds: The deadline.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"not done within {seconds:g} s; it goes on")


class ProblemAnswered(SupervisorError):
    """The server answered with a problem.

    Attributes:
        status: The HTTP status.
        type: Name of the problem (`unknown-epoch`).
        detail: What, where, and what to do.
    """

    def __init__(self, status: int, type: str, detail: str) -> None:
        self.status = status
        self.type = type
        self.detail = detail
        super().__init__(detail)


class ServerSent(msgspec.Struct, frozen=True):
    """One server-sent event.

    Attributes:
        event: Its type.
        id: Its number, empty when it has none.
        data: JSON.
    """

    event: str
    id: str
    data: bytes


class Client:
    """Asks one server; a connection for each request, so that a restarted server is no error.

    Args:
        path: The control socket.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, target: str, type: type[T]) -> T:
        """Read a resource; raises as `raw` does."""
        return msgspec.json.decode(self.raw("GET", target), type=type)

    def raw(self, method: str, target: str, body: msgspec.Struct | None = None, seconds: float = ANSWER) -> bytes:
        """Send a request and return the answer's bytes.

        Args:
            method: `GET`, `POST` or `PUT`.
            target: Path and query.
            body: Sent as JSON.
            seconds: Until it has to be answered.

        Raises:
            NoAnswer: Nobody serves the socket, or not in time.
            ProblemAnswered: The server refuses.
        """
        try:
            with self._exchange(method, target, body, {}, _Deadline(seconds)) as answer:
                return answer.read()
        except TimeoutError as error:
            raise NoAnswer(self.path, f"silent for {seconds:g} s") from error

    def stream(
        self,
        method: str,
        target: str,
        body: msgspec.Struct | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> Iterator[ServerSent]:
        """Yield server-sent events until the server ends them.

        Args:
            method: `GET`, `POST` or `PATCH`.
            target: Path and query.
            body: Sent as JSON.
            headers: Further header fields.
            seconds: Deadline for all of it; None follows for ever.

        Raises:
            NoAnswer: Nobody serves the socket, or the stream broke off.
            ProblemAnswered: The server refuses.
            WaitEnded: `seconds` passed.
        """
        fields = {"accept": "text/event-stream", **(headers or {})}
        try:
            with self._exchange(method, target, body, fields, _Deadline(seconds)) as answer:
                for event in _server_sent(answer.lines()):
                    if event.event == "problem":
                        raise _problem(http.client.OK, event.data)
                    yield event
        except TimeoutError as error:
            raise WaitEnded(seconds or 0.0) from error

    @contextmanager
    def _exchange(
        self,
        method: str,
        target: str,
        body: msgspec.Struct | None,
        headers: Mapping[str, str],
        deadline: "_Deadline",
    ) -> Iterator["_Answer"]:
        content = None if body is None else msgspec.json.encode(body)
        with closing(_Connection(self.path)) as connection:
            try:
                sock = connection.open()
                deadline.arm(sock)
                connection.request(method, target, content, {**_fields(content), **headers})
                # Where the answer ends the connection, its response alone holds the socket.
                with closing(connection.getresponse()) as response:
                    answer = _Answer(response, sock, deadline)
                    answer.check()
                    yield answer
            except TimeoutError:
                raise
            except (OSError, http.client.HTTPException) as error:
                raise NoAnswer(self.path, str(error) or type(error).__name__) from error


class _Deadline:
    """A budget for all reads together."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def arm(self, sock: socket.socket) -> None:
        """Let the next operation on `sock` take no longer than what is left."""
        if self._end is None:
            sock.settimeout(None)
            return
        if (left := self._end - time.monotonic()) <= 0:
            raise TimeoutError
        sock.settimeout(left)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("control")
        self._path = path

    def open(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock = sock
        sock.settimeout(CONNECT)
        try:
            with _short(self._path) as path:
                sock.connect(path)
        except TimeoutError as error:
            raise NoAnswer(self._path, f"the connection was not taken within {CONNECT:g} s") from error
        return sock


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Name a socket in a way that the kernel takes, however deep its folder lies."""
    if len(os.fsencode(path)) <= LONGEST_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class _Problem(msgspec.Struct, frozen=True):
    type: str = ""
    status: int | None = None
    detail: str = ""


def _problem(status: int, content: bytes) -> ProblemAnswered:
    try:
        problem = msgspec.json.decode(content, type=_Problem)
    except msgspec.DecodeError:
        problem = _Problem(detail=content.decode(errors="replace"))
    return ProblemAnswered(problem.status or status, problem.type, problem.detail)


class _Answer:
    def __init__(self, response: http.client.HTTPResponse, sock: socket.socket, deadline: _Deadline) -> None:
        self._response = response
        self._sock = sock
        self._deadline = deadline

    def check(self) -> None:
        if self._response.status < http.client.BAD_REQUEST:
            return
        raise _problem(self._response.status, self._response.read())

    def read(self) -> bytes:
        return self._response.read()

    def lines(self) -> Iterator[bytes]:
        while True:
            self._deadline.arm(self._sock)
            line = self._response.readline()
            if not line:
                return
            yield line.rstrip(b"\r\n")


def _fields(content: bytes | None) -> dict[str, str]:
    fields = {"user-agent": USER_AGENT, "connection": "close"}
    return fields if content is None else {**fields, "content-type": "application/json"}


def _server_sent(lines: Iterator[bytes]) -> Iterator[ServerSent]:
    """Read the event stream format: fields until an empty line; a line that begins with a colon is a sign of life."""
    fields: dict[bytes, bytes] = {}
    for line in lines:
        if not line:
            if b"data" in fields:
                event, number = fields.get(b"event", b"message"), fields.get(b"id", b"")
                yield ServerSent(event.decode(), number.decode(), fields[b"data"])
            fields = {}
            continue
        name, _, value = line.partition(b":")
        if name:
            fields[name] = value.removeprefix(b" ")
