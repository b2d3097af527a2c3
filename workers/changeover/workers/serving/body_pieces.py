"""Who looks on while a request's body is read piece by piece."""

from collections.abc import Awaitable, Callable

from changeover.workers.serving.waiting import Waiting

NextPiece = Callable[[], Awaitable[bytes | None]]


async def nothing() -> bytes | None:
    """No further piece."""
    return None


def at_once(body: bytes) -> NextPiece:
    """A body that is there in one piece."""
    pieces = iter((body,))

    async def receive() -> bytes | None:
        return next(pieces, None)

    return receive


def watched(receive: NextPiece, see: Callable[[bytes], None]) -> NextPiece:
    """`see` is called with each piece before the reader has it; what it raises, the reader gets."""

    async def watching() -> bytes | None:
        piece = await receive()
        if piece:
            see(piece)
        return piece

    return watching


def timed(receive: NextPiece, waiting: Waiting) -> NextPiece:
    """`waiting` has each reader while it waits, and when a piece came; what a reader gives up waiting for did not."""

    async def timing() -> bytes | None:
        waiting.readers += 1
        try:
            piece = await receive()
        finally:
            waiting.readers -= 1
        waiting.resume()
        return piece

    return timing
