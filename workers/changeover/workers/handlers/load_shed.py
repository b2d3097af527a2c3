"""`load-shed`: refuses early while what is behind it, or the clients in front of it, cannot keep up."""

import asyncio
import math

from changeover.plugin import (
    BodyInvalid,
    BodyTooLarge,
    CallContext,
    CallNext,
    Disconnected,
    NotReady,
    Observer,
    PipelineEvent,
    PipelineEventKind,
    Request,
    Response,
    around,
)
from changeover.workers.handlers.settings import LoadShed
from changeover.workers.handlers.shedding import Outcome, Shed, Shedding, Strain, Way

NAME = "load-shed"
_BEGINS = {
    PipelineEventKind.BACKPRESSURE_BEGAN: Strain.CLIENT,
    PipelineEventKind.WAIT_BEGAN: Strain.THREAD,
}
_ENDS = {
    PipelineEventKind.BACKPRESSURE_ENDED: Strain.CLIENT,
    PipelineEventKind.WAIT_ENDED: Strain.THREAD,
}


class _Ear:
    """Hears what one request waits for, and lets the observer hear it too."""

    def __init__(self, behind: Observer, shedding: "LoadSheds", call: CallContext) -> None:
        self._behind = behind
        self._shedding = shedding
        self._call = call

    def note(self, event: PipelineEvent) -> None:
        """See `Observer`."""
        self._behind.note(event)
        if event.kind in _BEGINS:
            self._shedding.strain(_BEGINS[event.kind], self._call)
        elif event.kind in _ENDS:
            self._shedding.ease(_ENDS[event.kind])


class LoadSheds:
    """Turns requests away as `Shedding` decides.

    Args:
        settings: As configured.
    """

    def __init__(self, settings: LoadShed) -> None:
        self._shedding = Shedding(settings)
        self._retry_after = math.ceil(settings.rest)
        self._hears = settings.clogged > 0 or settings.waiting > 0
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
        outcome = Outcome.UNKNOWN
        try:
            response = await call_next(request)
            outcome = Outcome.REFUSED if response.status == 503 else Outcome.ANSWERED
            return response
        except BaseException as error:
            outcome = _outcome_of(error)
            raise
        finally:
            self._shedding.ended(way, outcome, now())
            self._tell(call)

    def strain(self, strain: Strain, call: CallContext) -> None:
        """A request has to wait."""
        self._shedding.strain(strain, asyncio.get_running_loop().time())
        self._tell(call)

    def ease(self, strain: Strain) -> None:
        """It waits no more, or is gone."""
        self._shedding.ease(strain)

    def _tell(self, call: CallContext) -> None:
        """Note where shedding began, or ended."""
        sheds = self._shedding.state is not Shed.PASSING
        if sheds is not self._told:
            self._told = sheds
            kind = PipelineEventKind.SHEDDING_BEGAN if sheds else PipelineEventKind.SHEDDING_ENDED
            call.observer.note(PipelineEvent(kind, call.route, NAME))


def _outcome_of(error: BaseException) -> Outcome:
    """What an error says of what is behind: one that was not the client's doing is an answer like any other."""
    if isinstance(error, NotReady):
        return Outcome.REFUSED
    own = isinstance(error, asyncio.CancelledError | GeneratorExit | Disconnected | BodyTooLarge | BodyInvalid)
    return Outcome.UNKNOWN if own else Outcome.ANSWERED
