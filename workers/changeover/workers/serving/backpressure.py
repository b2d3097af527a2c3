"""Waiting for a client that takes its response more slowly than it is made, and telling of it."""

from changeover.workers.serving.contract import CallContext
from changeover.workers.serving.exchange import Exchange
from changeover.workers.serving.observation import PipelineEvent, PipelineEventKind


async def drained(exchange: Exchange, call: CallContext | None) -> None:
    """Wait until the client has taken enough; the call's observer hears of it where that takes time.

    Who sends many pieces asks `pressed` first: a coroutine for each costs as much as the piece.
    """
    if not exchange.pressed():
        return
    if call is None or not exchange.backed_up():
        await exchange.drain()
        return
    observer = call.observer
    observer.note(PipelineEvent(PipelineEventKind.BACKPRESSURE_BEGAN, call.route))
    try:
        await exchange.drain()
    finally:
        observer.note(PipelineEvent(PipelineEventKind.BACKPRESSURE_ENDED, call.route))
