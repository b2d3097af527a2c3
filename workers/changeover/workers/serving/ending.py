"""How a response ends that has begun, when it is the server that ends it: at a drain deadline, a bound, a stop."""

from contextlib import suppress

from changeover.workers.errors import ChangeoverError
from changeover.workers.serving.exchange import Exchange
from changeover.workers.serving.message import Request

EVENTS = "text/event-stream"


def end_begun(exchange: Exchange) -> None:
    """End it: completely where the client asked for events, otherwise cut so that the client can tell.

    Who asks for server-sent events comes back after the end of a response, and throws an unfinished event away. To
    every other client an end in the middle would pretend that this was all.
    """
    if not wants_events(exchange.request):
        exchange.abort()
        return
    with suppress(ChangeoverError):  # shorter than it said it would be, and so cut already
        exchange.end()


def wants_events(request: Request) -> bool:
    """Whether a client asks for nothing but server-sent events, as every `EventSource` does."""
    return request.headers.get("accept", "").partition(";")[0].strip().lower() == EVENTS
