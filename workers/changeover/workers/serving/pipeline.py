"""Handlers folded around what answers, immutable once built."""

from collections.abc import Sequence

from changeover.workers.serving.asgi import Application
from changeover.workers.serving.contract import CallContext, Service
from changeover.workers.serving.exchange import Exchange, RawHeaders
from changeover.workers.serving.handlers import Handler, ServiceFunction

Answering = Service | ServiceFunction | Application | None
"""What stands at the end of a pipeline; None is a pipeline that was emptied by removal and answers 503."""


class Pipeline:
    """Inbound and outbound chains, and around handlers folded over what answers.

    Args:
        name: The pipeline's name.
        handlers: In request order; outbound handlers run in this order too.
        target: What answers.

    Attributes:
        inbound: The inbound chain.
        outbound: The outbound chain.
        around: The around handlers, outermost first.
    """

    def __init__(self, name: str, handlers: Sequence[Handler] = (), target: Answering = None) -> None:
        self.name = name
        self.handlers = tuple(handlers)
        self.target = target

    def serve(self, exchange: Exchange, call: CallContext, stamp: RawHeaders) -> None:
        """Answer one exchange; the call's lease is released after the last byte, or once the client is gone.

        Args:
            exchange: The request and the way back.
            call: Its context; holds the lease.
            stamp: Header fields added to whatever is sent.
        """
        raise NotImplementedError
