"""A response that the server ends in the middle: complete for who asked for events, cut for everybody else."""

import pytest

from changeover.workers.errors import ChangeoverError
from changeover.workers.serving.ending import end_begun
from tests.exchange import MemoryExchange


class Short(MemoryExchange):
    """A response that said it would be longer: it is cut, and that is told."""

    def end(self) -> None:
        self.abort()
        raise ChangeoverError("its body is shorter than its Content-Length")


def accepting(value: bytes | None) -> list[tuple[bytes, bytes]]:
    return [] if value is None else [(b"accept", value)]


@pytest.mark.parametrize("accept", [b"text/event-stream", b"Text/Event-Stream; charset=utf-8"])
async def test_events_end_completely(accept: bytes) -> None:
    exchange = MemoryExchange(headers=accepting(accept))
    exchange.start(200, [])
    end_begun(exchange)
    assert (exchange.ended, exchange.aborted) == (True, False)


@pytest.mark.parametrize("accept", [None, b"*/*", b"application/json, text/event-stream", b"text/event-streams"])
async def test_everything_else_is_cut(accept: bytes | None) -> None:
    exchange = MemoryExchange(headers=accepting(accept))
    exchange.start(200, [])
    end_begun(exchange)
    assert (exchange.ended, exchange.aborted) == (False, True)


async def test_events_of_a_length_that_was_announced_are_cut_like_everything_else() -> None:
    exchange = Short(headers=accepting(b"text/event-stream"))
    exchange.start(200, [(b"content-length", b"100")])
    end_begun(exchange)
    assert (exchange.ended, exchange.aborted) == (False, True)
