"""`wsgi.input`: a request's body as a file, which has come before a thread is taken.

What is small waits in memory, the rest in a file without a name. Where there is no more room for that, what has not
come by then is read while it comes, if its length is known: there are applications that take a body without a length
for an empty one, and they must not be called with what is none.
"""

import io
from collections.abc import Callable
from typing import Any

from changeover.workers.serving.contract import BodyTooLarge, NotReady, Request
from changeover.workers.serving.disk import Disk
from changeover.workers.serving.spool import Spool
from changeover.workers.serving.wsgi_environ import Environ

AT_ONCE = 64 * 1024
"""Bytes of a body that are kept in memory, and at least as many that go to a file at once."""
MOST = 64 * 1024 * 1024
"""Bytes of one body that are kept where its length is known; beyond, it is read while it comes."""
MOST_UNTOLD = 512 * 1024 * 1024
"""Bytes of one body that are kept where its length is not known; beyond, it is refused."""


class StreamedBody(io.RawIOBase):
    """A body of which more comes.

    Args:
        kept: What has come, up to what came last.
        begun: What came last.
        more: Waits for the next piece, empty at the end.
    """

    def __init__(self, kept: io.BufferedIOBase, begun: bytes, more: Callable[[], bytes]) -> None:
        self._kept = kept
        self._is_kept = True
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
        if self._is_kept:
            if size := self._kept.readinto(buffer):
                return size
            self._is_kept = False
        if not self._piece and not self._ended:
            self._piece = memoryview(self._more())
            self._ended = not self._piece
        size = min(len(buffer), len(self._piece))
        buffer[:size] = self._piece[:size]
        self._piece = self._piece[size:]
        return size


def streamed(kept: Spool, begun: bytes, more: Callable[[], bytes]) -> io.BufferedReader:
    """A file with everything that PEP 3333 asks of `wsgi.input`."""
    return io.BufferedReader(StreamedBody(kept.reader(), begun, more), AT_ONCE)


def give_whole(environ: Environ, body: io.BufferedIOBase, size: int) -> None:
    """Make a body that is at hand the input. Its length is told then, and no longer how it was transferred."""
    environ["wsgi.input"] = body
    was_coded = environ.pop("HTTP_TRANSFER_ENCODING", None) is not None
    if was_coded or (size and not is_told(environ)):
        environ["CONTENT_LENGTH"] = str(size)


def is_told(environ: Environ) -> bool:
    """Whether the client said how long its body is."""
    return "CONTENT_LENGTH" in environ


async def body_at_hand(request: Request) -> tuple[bytes, bool]:
    """The beginning of a request's body, and whether that is all of it.

    Raises:
        Disconnected: The client went away before its end.
    """
    held = request.take_held()
    return (held, True) if held is not None else await _next_of(request)


async def keep(kept: Spool, begun: bytes, request: Request, disk: Disk, *, told: bool) -> bytes | None:
    """Put all of a body into a file.

    Args:
        kept: The file, which is empty.
        begun: The body's beginning.
        request: Whose body it is.
        disk: Writes it.
        told: Whether its length is known.

    Returns:
        None, or what came last, for which there was no room: the rest has yet to come.

    Raises:
        BodyTooLarge: It is longer than what is kept of one, and its length is not known.
        NotReady: There is no room for any more, and its length is not known.
        Disconnected: The client went away before its end.
    """
    most = MOST if told else MOST_UNTOLD
    piece, whole = begun, False
    while (fits := kept.size + len(piece) <= most) and await disk.do(kept.write, piece, kept.size):
        if whole:
            return None
        piece, whole = await _next_of(request)
    if told:
        return piece
    raise NotReady() if fits else BodyTooLarge(most)


async def _next_of(request: Request) -> tuple[bytes, bool]:
    """About as much of a body as is kept at once, and whether its end has come."""
    first = await request.receive()
    if first is None:
        return b"", True
    if len(first) >= AT_ONCE:
        return first, False
    following = await request.receive()
    if following is None:
        return first, True
    gathered = bytearray(first)  # pieces of one byte would cost forty times as much, each on its own
    gathered += following
    while len(gathered) < AT_ONCE:
        piece = await request.receive()
        if piece is None:
            return bytes(gathered), True
        gathered += piece
    return bytes(gathered), False
