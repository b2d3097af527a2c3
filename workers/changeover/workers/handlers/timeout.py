"""`timeout`: bounds the time until a response begins."""

import asyncio

from changeover.plugin import CallContext, CallNext, Request, Response, around
from changeover.workers.handlers.settings import Timeout


class Timeouts:
    """Gives requests a deadline, and ends what is behind when it passes.

    A deadline that somebody before it gave is kept where it is closer.

    Args:
        settings: As configured.
    """

    def __init__(self, settings: Timeout) -> None:
        self._after = settings.after

    @around
    async def bound(self, request: Request, call_next: CallNext, call: CallContext) -> Response:
        """Answer with 504 when the deadline passes before there is a response."""
        call.deadline = asyncio.get_running_loop().time() + self._after
        bound = asyncio.timeout_at(call.deadline)
        try:
            async with bound:
                return await call_next(request)
        except TimeoutError:
            if not bound.expired():
                raise
            return Response.problem(504, "Took too long", f"no response within {self._after:g} s")
