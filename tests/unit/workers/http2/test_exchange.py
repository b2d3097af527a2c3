"""A stream with a connection that only remembers: what an application may do, and when."""

import asyncio
from dataclasses import dataclass, field
from itertools import pairwise

import msgspec
import pytest

from changeover.workers.channel.outlet import MANY, STRETCH
from changeover.workers.channel.phases import Phase
from changeover.workers.http.faults import LATE, BadResponse
from changeover.workers.http.fields import Expectation
from changeover.workers.http2.exchange import StreamExchange
from changeover.workers.http2.head import StreamHead
from changeover.workers.serving.exchange import Disconnected, Undone
from changeover.workers.serving.handshake import HandshakeOutcome
from changeover.workers.serving.request_head import RequestTarget

HEAD = StreamHead("POST", RequestTarget("/", b"/", b""), ((b"host", b"test"),), "2", None, Expectation.NONE)


@dataclass
class Remembering:
    """A connection.

    Attributes:
        told: What its streams wanted of it.
    """

    client: tuple[str, int] | None = None
    server: tuple[str, int | None] | None = None
    scheme: str = "http"
    outcome: HandshakeOutcome | None = None
    share: int = 100
    blocked: bool = False
    is_full: bool = False
    told: list[object] = field(default_factory=list)

    def waits_for_window(self, stream: StreamExchange) -> bool:
        return self.blocked

    def want(self, stream: StreamExchange) -> None:
        self.told.append("want")

    def ask_for_body(self, stream: StreamExchange) -> None:
        self.told.append("100")

    def acknowledge(self, number: int, size: int) -> None:
        self.told.append(size)

    def reset(self, stream: StreamExchange, code: int) -> None:
        self.told.append(("reset", code))

    def released(self, stream: StreamExchange) -> None:
        self.told.append("released")


async def test_windows_open_as_the_application_takes_the_body() -> None:
    line = Remembering()
    stream = StreamExchange(line, 1, HEAD, ended=False)
    stream.feed(b"one", 3)
    stream.feed(b"two", 13)
    assert line.told == [10], "padding is nobody's to take"
    assert await stream.receive() == b"onetwo"
    assert line.told == [10, 6]
    stream.finish_input()
    assert await stream.receive() is None


async def test_what_nobody_takes_is_given_back_with_the_end_of_the_answer() -> None:
    line = Remembering()
    stream = StreamExchange(line, 1, HEAD, ended=False)
    stream.feed(b"one", 3)
    stream.start(200, [])
    stream.end()
    assert line.told == ["want", 3, "want"]
    assert stream.feed(b"more", 4)
    assert line.told[-1] == 4
    assert not stream.feed(bytes(300_000), 300_000)


async def test_small_pieces_that_nobody_takes_are_put_together() -> None:
    stream = StreamExchange(Remembering(), 1, HEAD, ended=False)
    for _ in range(10_000):
        stream.feed(b"ab", 2)
    assert stream._incoming is not None
    assert len(stream._incoming._pieces) < 25
    assert await stream.receive() == b"ab" * 10_000


async def test_an_application_waits_from_the_stream_s_share_on() -> None:
    stream = StreamExchange(Remembering(), 1, HEAD, ended=True)
    stream.start(200, [])
    stream.write(bytes(99))
    await asyncio.wait_for(stream.drain(), 1)
    stream.write(b"x")
    waiting = asyncio.ensure_future(stream.drain())
    await asyncio.sleep(0)
    assert not waiting.done()
    stream.opening(())
    stream.cut(50)
    await asyncio.wait_for(waiting, 1)


async def test_after_its_client_gave_up_nothing_is_sent_and_nobody_waits() -> None:
    line = Remembering()
    stream = StreamExchange(line, 1, HEAD, ended=False)
    stream.start(200, [])
    stream.write(bytes(1000))
    waiting = [asyncio.ensure_future(each) for each in (stream.drain(), stream.wait_disconnected())]
    reading = asyncio.ensure_future(stream.receive())
    await asyncio.sleep(0)
    assert stream.lose()
    await asyncio.wait_for(asyncio.gather(*waiting), 1)
    with pytest.raises(Disconnected):
        await reading
    line.told.clear()
    stream.write(b"more")
    stream.end()
    assert not stream.connected
    assert line.told == ["released"]
    assert stream.outflow.size == 0


@pytest.mark.parametrize("begun", [False, True], ids=["with a short one", "cut off"])
async def test_an_answer_that_is_broken_off_is_over_and_its_client_is_there(begun: bool) -> None:
    line = Remembering()
    stream = StreamExchange(line, 1, HEAD, ended=False)
    stream.start(200, [])
    stream.write(b"secret")
    if begun:
        stream.opening(())
    undone = stream.abort(503)
    assert undone == Undone(200, 0 if begun else 503)
    await asyncio.wait_for(stream.wait_disconnected(), 1)
    assert stream.connected
    with pytest.raises(BadResponse):
        stream.write(b"more")
    with pytest.raises(BadResponse):
        stream.end()
    assert stream.abort() is undone, "it says the same again"
    assert stream.feed(b"nobody reads it", 15)
    assert line.told[-1] == 15
    left = stream.outflow.size
    stream.fail(LATE)
    assert stream.outflow.size == left == (0 if begun else len(b"Service Unavailable\n")), "it is let be"
    assert not stream.lose(), "no application has yet to notice"
    with pytest.raises(BadResponse):
        stream.write(b"more")
    assert not stream.connected


async def test_order_is_kept() -> None:
    stream = StreamExchange(Remembering(), 1, HEAD, ended=True)
    with pytest.raises(BadResponse):
        stream.write(b"x")
    with pytest.raises(BadResponse):
        stream.end()
    stream.start(200, [])
    with pytest.raises(BadResponse):
        stream.start(200, [])
    stream.end()
    with pytest.raises(BadResponse):
        stream.write(b"x")
    with pytest.raises(BadResponse):
        stream.end()
    stream.abort()


async def test_what_it_does_is_seen() -> None:
    line = Remembering()
    stream = StreamExchange(line, 1, HEAD, ended=False)
    assert stream.sight().phase is Phase.BUSY
    reading = asyncio.ensure_future(stream.receive())
    await asyncio.sleep(0)
    assert stream.sight().phase is Phase.BODY
    stream.feed(b"x", 1)
    await reading
    stream.start(200, [])
    stream.write(bytes(10))
    assert stream.sight().phase is Phase.BUSY
    line.blocked = True
    assert stream.sight().phase is Phase.WRITING
    stream.held = True
    assert stream.sight().phase is Phase.HELD
    line.is_full = True
    assert stream.sight().phase is Phase.BUSY, "it waits for its own client, which is no reason for a 503"


@pytest.mark.parametrize(("method", "piece"), [("HEAD", b"x" * 1000), ("HEAD", b"x"), ("GET", b"x")])
async def test_who_writes_much_or_many_leaves_turns_to_others_though_nothing_waits(method: str, piece: bytes) -> None:
    stream = StreamExchange(Remembering(share=1 << 30), 1, msgspec.structs.replace(HEAD, method=method), ended=True)
    stream.start(200, [])
    turns: list[int] = []
    written = 0

    async def others() -> None:
        while True:
            turns.append(written)
            await asyncio.sleep(0)

    watching = asyncio.ensure_future(others())
    await asyncio.sleep(0)
    for _ in range(5 * MANY):
        stream.write(piece)
        written += 1
        if stream.pressed():
            await stream.drain()
    watching.cancel()
    turns.append(written)
    assert max(after - before for before, after in pairwise(turns)) <= STRETCH // len(piece)
    assert max(after - before for before, after in pairwise(turns)) <= MANY
