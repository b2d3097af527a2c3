"""`load-shed`: refuses early while what is behind it, or the clients in front of it, cannot keep up."""

import asyncio
import math

from changeover.plugin import (
    CallContext,
    CallNext,
    NotReady,
    Observer,
    PipelineEvent,
    PipelineEventKind,
    Request,
    Response,
    around,
)
from changeover.workers.handlers.settings import LoadShed
from changeover.workers.handlers.shedding import Shed, Shedding, Way

NAME = "load-shed"


class _Ear:
    """Hears of the backpressure of one request, and lets the observer hear it too."""

    def __init__(self, behind: Observer, shedding: "LoadSheds", call: CallContext) -> None:
        self._behind = behind
        self._shedding = shedding
        self._call = call

    def note(self, event: PipelineEvent) -> None:
        """See `Observer`."""
        self._behind.note(event)
        if event.kind is PipelineEventKind.BACKPRESSURE_BEGAN:
            self._shedding.clog(self._call)
        elif event.kind is PipelineEventKind.BACKPRESSURE_ENDED:
            self._shedding.unclog()


class LoadSheds:
    """Turns requests away as `Shedding` decides.

    Args:
        settings: As configured.
    """

    def __init__(self, settings: LoadShed) -> None:
        self._shedding = Shedding(settings)
        self._retry_after = math.ceil(settings.rest)
        self._hears = settings.clogged > 0
        self._told = False

    @around
    async def shed(self, request: Request, call_next: CallNext, call: CallContext) -> Response:
        """Let a request through, and learn from what comes of it.

        Raises:
            NotReady: It is turned away, or what is behind is not ready.
        """
        now = asyncio.get_running_loop().time
        way = self._shedding.way(now())
        if way is Way.AWAY:
            raise NotReady(self._retry_after)
        if self._hears:
            call.observer = _Ear(call.observer, self, call)
        answered = False
        try:
            response = await call_next(request)
            if response.status == 503:
                self._shedding.refused(way, now())
            answered = True
            return response
        except NotReady:
            self._shedding.refused(way, now())
            raise
        finally:
            self._shedding.settle(way, answered=answered)
            self._tell(call)

    def clog(self, call: CallContext) -> None:
        """A client does not take its response."""
        self._shedding.clog(asyncio.get_running_loop().time())
        self._tell(call)

    def unclog(self) -> None:
        """It has caught up, or is gone."""
        self._shedding.unclog()

    def _tell(self, call: CallContext) -> None:
        """Note where shedding began, or ended."""
        sheds = self._shedding.state is not Shed.PASSING
        if sheds is not self._told:
            self._told = sheds
            kind = PipelineEventKind.SHEDDING_BEGAN if sheds else PipelineEventKind.SHEDDING_ENDED
            call.observer.note(PipelineEvent(kind, call.route, NAME))
