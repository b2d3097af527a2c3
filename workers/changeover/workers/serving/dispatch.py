"""The read path: stamp, admit, match, lease, answer."""

from typing import Protocol

from changeover.workers.serving.exchange import Exchange
from changeover.workers.serving.router import Router


class Generation(Protocol):
    """What the dispatcher needs of a generation."""

    @property
    def epoch(self) -> int:
        """The number it goes by."""

    @property
    def router(self) -> Router:
        """Leads requests to pipelines."""


class Admission(Protocol):
    """Says which generation a request that is dispatched now belongs to."""

    def admit(self) -> Generation | None:
        """The generation, or None: nothing may be dispatched now. Reads the commit cell."""


class LiveDispatcher:
    """Leads exchanges to the pipelines of the generation that is authoritative at that moment.

    Args:
        admission: The switch.
        worker: The slot, for `CallContext.worker` and the header.
        epoch_header: Whether responses carry `x-changeover-epoch` and `x-changeover-worker`.
    """

    def __init__(self, admission: Admission, *, worker: int, epoch_header: bool = False) -> None:
        self._admission = admission
        self._worker = worker
        self._epoch_header = epoch_header

    def dispatch(self, exchange: Exchange) -> bool:
        """Take the exchange, or answer False: nothing may be dispatched now, hold it."""
        raise NotImplementedError
