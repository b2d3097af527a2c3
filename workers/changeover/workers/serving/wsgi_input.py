"""`wsgi.input`: a request's body as a file that is read in a thread."""

import io
from collections.abc import Callable
from typing import Any

from changeover.workers.serving.contract import Request
from changeover.workers.serving.wsgi_environ import Environ

AT_ONCE = 64 * 1024
"""Bytes of a body that are there, or waited for on the loop, before a thread is taken: they cost no crossing."""


class StreamedBody(io.RawIOBase):
    """A body of which more comes.

    Args:
        begun: What has come.
        more: Waits for the next piece, empty at the end.
    """

    def __init__(self, begun: bytes, more: Callable[[], bytes]) -> None:
        self._piece = memoryview(begun)
        self._more = more
        self._ended = False

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill as much of `buffer` as is there, waiting for at least one byte; 0 at the end.

        Raises:
            Disconnected: The client went away before the end.
        """
        if not self._piece and not self._ended:
            self._piece = memoryview(self._more())
            self._ended = not self._piece
        size = min(len(buffer), len(self._piece))
        buffer[:size] = self._piece[:size]
        self._piece = self._piece[size:]
        return size


def streamed(begun: bytes, more: Callable[[], bytes]) -> io.BufferedReader:
    """A file with everything that PEP 3333 asks of `wsgi.input`."""
    return io.BufferedReader(StreamedBody(begun, more), AT_ONCE)


def give_whole(environ: Environ, body: bytes) -> None:
    """Make a body that is at hand the input. Its length is told then, and no longer how it was transferred."""
    environ["wsgi.input"] = io.BytesIO(body)
    if environ.pop("HTTP_TRANSFER_ENCODING", None) is not None:
        environ["CONTENT_LENGTH"] = str(len(body))


async def body_at_hand(request: Request) -> tuple[bytes, bool]:
    """The beginning of a request's body, and whether that is all of it.

    Raises:
        Disconnected: The client went away before its end.
    """
    if request.held_body is not None:
        return request.held_body, True
    pieces: list[bytes] = []
    size = 0
    while size < AT_ONCE:
        piece = await request.receive()
        if piece is None:
            return b"".join(pieces), True
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces), False
