"""Server-sent events: numbered lines of JSON, and a sign of life while there are none."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.responses import StreamingResponse

from changeover.supervisor.telemetry.stream import Told

MEDIA_TYPE = "text/event-stream"
ALIVE = b": alive\n\n"
RHYTHM = 15.0
"""Seconds of silence after which a sign of life is sent."""


def frame(event: str, data: Any, number: int | None = None) -> bytes:
    """Encode one event; JSON has no line ends, so one `data` field holds it."""
    id = b"" if number is None else b"id: %d\n" % number
    return b"event: %s\n%sdata: %s\n\n" % (event.encode(), id, msgspec.json.encode(data))


def told(event: Told) -> bytes:
    """Encode what was told; its number resumes the stream (`Last-Event-ID`)."""
    return frame("told", event, event.sequence)


def response(frames: AsyncIterator[bytes]) -> StreamingResponse:
    """Stream frames, uncached."""
    return StreamingResponse(frames, media_type=MEDIA_TYPE, headers={"cache-control": "no-store"})


async def alive(frames: AsyncIterator[bytes], rhythm: float = RHYTHM) -> AsyncIterator[bytes]:
    """Pass frames on, and put a sign of life wherever there is none for `rhythm` seconds."""
    following: asyncio.Future[bytes] = asyncio.ensure_future(_next(frames))
    try:
        while True:
            done, _ = await asyncio.wait({following}, timeout=rhythm)
            if not done:
                yield ALIVE
                continue
            try:
                frame = following.result()
            except StopAsyncIteration:
                return
            yield frame
            following = asyncio.ensure_future(_next(frames))
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
            await following


async def _next(frames: AsyncIterator[bytes]) -> bytes:
    return await anext(frames)
