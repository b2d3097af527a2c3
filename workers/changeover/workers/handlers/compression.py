"""`compression`: compresses responses for clients that take it."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from changeover.plugin import CallContext, CallNext, Request, Response, around
from changeover.workers.handlers.encoders import Encoder, encoder, is_there
from changeover.workers.handlers.negotiation import add_vary, best_encoding
from changeover.workers.handlers.settings import Compression

BESIDE = 64 * 1024
"""Longer bodies are compressed in a thread: other requests do not wait for it."""
THREADS = 2
"""Most threads that compress, apart from the loop's own, which code that blocks may take."""

_threads = ThreadPoolExecutor(THREADS, "changeover compression")
_BODILESS = frozenset({204, 205, 206, 304})


class Compressions:
    """Compresses what is worth it: whole bodies, and streams piece by piece, so that none waits for the next.

    Args:
        settings: As configured.
    """

    def __init__(self, settings: Compression) -> None:
        self._offered = tuple(name for name in settings.encodings if is_there(name))
        self._level = settings.level
        self._min_size = settings.min_size
        self._types = tuple(name.lower() for name in settings.types)

    @around
    async def compress(self, request: Request, call_next: CallNext, call: CallContext) -> Response:
        """Pass the response on, compressed where that may be and is worth it."""
        response = await call_next(request)
        unsaid = request.method == "HEAD" and not (isinstance(response.body, bytes) and response.body)
        if not self._is_worth_it(response, unsaid=unsaid):
            return response
        add_vary(response, "Accept-Encoding")
        encoding = best_encoding(",".join(request.headers.all("accept-encoding")), self._offered)
        if encoding and unsaid:
            _announce(response, encoding)
        elif encoding:
            await self._encode(response, encoding)
        return response

    def _is_worth_it(self, response: Response, *, unsaid: bool) -> bool:
        fields = response.headers
        if response.status < 200 or response.status in _BODILESS or "content-encoding" in fields:
            return False
        if "no-transform" in ",".join(fields.all("cache-control")).lower() or "content-range" in fields:
            return False
        return fields.get("content-type", "").lower().startswith(self._types) and self._is_long(response, unsaid=unsaid)

    def _is_long(self, response: Response, *, unsaid: bool) -> bool:
        if isinstance(response.body, bytes) and not unsaid:
            return len(response.body) >= self._min_size
        announced = response.headers.get("content-length", "")
        return not announced.isdecimal() or int(announced) >= self._min_size

    async def _encode(self, response: Response, encoding: str) -> None:
        encodes = encoder(encoding, self._level)
        body = response.body
        if isinstance(body, bytes):
            whole = await _beside(body, encodes) if len(body) > BESIDE else _whole(body, encodes)
            if len(whole) >= len(body):
                return
            response.body = whole
        else:
            response.body = _pieces(body, encodes)
        _say(response, encoding)


def _announce(response: Response, encoding: str) -> None:
    """Say of a body that is not sent what would be said if it were; how long it would be is not known."""
    if not isinstance(response.body, bytes):
        response.body = _emptied(response.body)
    _say(response, encoding)


def _say(response: Response, encoding: str) -> None:
    response.headers.pop("content-length", None)
    response.headers["content-encoding"] = encoding
    etag = response.headers.get("etag", "")
    if etag and not etag.startswith("W/"):
        response.headers["etag"] = f"W/{etag}"


def _whole(body: bytes, encodes: Encoder) -> bytes:
    return encodes.encode(body) + encodes.finish()


def _beside(body: bytes, encodes: Encoder) -> asyncio.Future[bytes]:
    return asyncio.get_running_loop().run_in_executor(_threads, _whole, body, encodes)


async def _pieces(body: AsyncIterator[bytes], encodes: Encoder) -> AsyncIterator[bytes]:
    try:
        async for piece in body:
            if piece:
                yield encodes.encode(piece)
        yield encodes.finish()
    finally:
        await _close(body)


async def _emptied(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for _ in body:
            yield b""
    finally:
        await _close(body)


async def _close(body: AsyncIterator[bytes]) -> None:
    close = getattr(body, "aclose", None)
    if close is not None:
        await close()
