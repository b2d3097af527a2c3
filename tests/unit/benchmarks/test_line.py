"""A client tells every way in which its connection can end from every other."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from benchmarks.load.connection import Cut
from benchmarks.load.line import Line
from benchmarks.load.record import Fault, Kind, LoadReport, Tally
from benchmarks.load.traffic import FAST, FAST_AND_CLOSE

from tests.waits import until

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
BODY = b"epoch=1 slot=0 started=1 marker=m\n"
HEAD = b"HTTP/1.1 200 OK\r\nx-changeover-epoch: 1\r\ncontent-length: %d\r\n" % len(BODY)
GOOD = HEAD + b"\r\n" + BODY


@asynccontextmanager
async def server(act: Callable[[Streams], Awaitable[None]]) -> AsyncIterator[Line]:
    """A client of a server that does `act` with every connection, then ends it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await act((reader, writer))
        writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    line = Line(Kind.BUSY, ("127.0.0.1", running.sockets[0].getsockname()[1]), tally := Tally())
    line_tallies[line] = tally
    try:
        yield line
    finally:
        line.close()
        del line_tallies[line]
        running.close()
        await running.wait_closed()


line_tallies: dict[Line, Tally] = {}


def report(line: Line) -> LoadReport:
    return line_tallies[line].report()


async def request(streams: Streams) -> None:
    await streams[0].readuntil(b"\r\n\r\n")


def reset(streams: Streams) -> None:
    sock = streams[1].get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    streams[1].transport.abort()


async def good(streams: Streams) -> None:
    await request(streams)
    streams[1].write(GOOD)
    await streams[1].drain()


async def silent_end(streams: Streams) -> None:
    await request(streams)


async def half(streams: Streams) -> None:
    await request(streams)
    streams[1].write(GOOD[:-5])
    await streams[1].drain()


async def reset_waiting(streams: Streams) -> None:
    await request(streams)
    reset(streams)


async def announced(streams: Streams) -> None:
    await request(streams)
    streams[1].write(HEAD + b"connection: close\r\n\r\n" + BODY)
    await streams[1].drain()


@pytest.mark.parametrize(
    ("act", "fault"),
    [
        (silent_end, Fault.EOF_WAITING),
        (half, Fault.EOF_INSIDE),
        (reset_waiting, Fault.RESET_WAITING),
        (announced, Fault.ANNOUNCED),
    ],
)
async def test_an_end_around_an_answer_is_named(act: Callable[[Streams], Awaitable[None]], fault: Fault) -> None:
    async with server(act) as line:
        await line.ask(FAST)
        assert report(line).faults == {fault: 1}


async def test_an_end_after_the_answer_is_an_end_between_two_requests() -> None:
    async with server(good) as line:
        await line.ask(FAST)
        await until(lambda: report(line).faults, "the end is noticed")
        assert report(line).requests == {Kind.BUSY: 1}
        assert report(line).faults == {Fault.EOF_IDLE: 1}


async def test_an_end_that_was_asked_for_is_no_fault() -> None:
    async with server(announced) as line:
        await line.ask(FAST_AND_CLOSE)
        await line.ask(FAST_AND_CLOSE)
        assert report(line).requests == {Kind.BUSY: 2}
        assert report(line).connections == 2
        assert report(line).faults == {}


async def test_a_refused_connection_is_named() -> None:
    async with server(good) as line:
        gone = Line(Kind.BUSY, ("127.0.0.1", 1), line_tallies[line])
        await gone.ask(FAST)
        assert report(line).faults == {Fault.REFUSED: 1}


async def test_an_overdue_answer_is_given_up() -> None:
    async def never(streams: Streams) -> None:
        await streams[0].read()

    async with server(never) as line:
        asking = asyncio.create_task(line.ask(FAST))

        def looked() -> bool:
            line.look(float("inf"))
            return asking.done()

        await until(looked, "the client gives up")
        assert report(line).faults == {Fault.SILENCE: 1}


async def test_a_reset_inside_an_answer_is_named() -> None:
    begun = asyncio.Event()

    async def reset_inside(streams: Streams) -> None:
        await half(streams)
        await begun.wait()
        reset(streams)

    async with server(reset_inside) as line:
        connection = await line.open()
        assert connection is not None
        pending = connection.expect()
        connection.write(FAST.pieces[0])
        await until(lambda: connection.begun, "a part of the answer came")
        begun.set()
        with pytest.raises(Cut) as cut:
            await pending
        assert cut.value.fault is Fault.RESET_INSIDE
