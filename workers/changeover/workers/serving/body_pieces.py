"""Who looks on while a request's body is read piece by piece."""

from collections.abc import Awaitable, Callable

NextPiece = Callable[[], Awaitable[bytes | None]]


def watched(receive: NextPiece, see: Callable[[bytes], None]) -> NextPiece:
    """`see` is called with each piece before the reader has it; what it raises, the reader gets."""

    async def watching() -> bytes | None:
        piece = await receive()
        if piece:
            see(piece)
        return piece

    return watching


def timed(receive: NextPiece, awaited: Callable[[bool], None]) -> NextPiece:
    """`awaited` is called with True when the reader asks for a piece, and with False when it has it, or gives up."""

    async def timing() -> bytes | None:
        awaited(True)
        try:
            return await receive()
        finally:
            awaited(False)

    return timing
