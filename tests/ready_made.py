"""Pipelines of ready-made handlers as configurations name them, in front of anything."""

from collections.abc import AsyncIterator
from typing import Any

from changeover.supervisor.config.handlers import ref_of
from changeover.workers.generation.ready_made import ReadyMadeHandlers
from changeover.workers.serving.answering import Answering
from changeover.workers.serving.asgi import Application, Receive, Scope, Send
from changeover.workers.serving.contract import CallContext, Request, Response
from changeover.workers.serving.handlers import Handler
from changeover.workers.serving.observation import PipelineEvent, PipelineEventKind
from changeover.workers.serving.pipeline import Pipeline
from tests.exchange import Served

KINDS = ("native", "asgi")
"""What may stand behind handlers."""


def parts(*handlers: str | dict[str, Any]) -> list[Handler]:
    """The handlers of a pipeline, as a configuration writes them."""
    ready_made = ReadyMadeHandlers()
    return [part for written in handlers for part in ready_made.parts("shop", ref_of(written))]


def serve(target: Answering, *handlers: str | dict[str, Any], beside: tuple[Handler, ...] = ()) -> Served:
    """A pipeline of ready-made handlers; `beside` are others, behind them."""
    return Served(Pipeline("shop", [*parts(*handlers), *beside], target))


def answering(kind: str, *body: bytes, status: int = 200, whole: bool = True, **fields: str) -> Answering:
    """What answers every request alike, natively or as an application; not `whole`, it does so in pieces."""
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]

    async def pieces() -> AsyncIterator[bytes]:
        for piece in body:
            yield piece

    async def native(request: Request, call: CallContext) -> Response:
        response = Response(b"".join(body) if whole else pieces(), status)
        response.headers.raw.extend(named)
        return response

    async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": named})
        for piece in body if not whole else (b"".join(body),):
            await send({"type": "http.response.body", "body": piece, "more_body": not whole})
        if not whole:
            await send({"type": "http.response.body", "body": b""})

    return Application("app", asgi) if kind == "asgi" else native


class Listener:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.events: list[PipelineEvent] = []

    def note(self, event: PipelineEvent) -> None:
        self.events.append(event)

    @property
    def kinds(self) -> list[PipelineEventKind]:
        return [event.kind for event in self.events]
