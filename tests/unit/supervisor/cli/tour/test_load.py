import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from changeover.supervisor.cli.tour.load import Asking, Load
from tests.waits import until

Answer = Callable[[asyncio.StreamWriter, int, bytes], Awaitable[None]]


def whole(number: int, more: bytes = b"") -> bytes:
    body = b'{"version": "%d"}' % number
    return b"HTTP/1.1 200 OK\r\nX-Changeover-Epoch: %d\r\n%sContent-Length: %d\r\n\r\n%s" % (
        number,
        more,
        len(body),
        body,
    )


async def well(writer: asyncio.StreamWriter, count: int, head: bytes) -> None:
    writer.write(whole(3))
    if b"Connection: close" in head:
        writer.close()


@asynccontextmanager
async def toy(answer: Answer) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        count = 0
        while head := await reader.read(1000):
            count += 1
            await answer(writer, count, head)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_answers_are_counted_with_their_epoch_and_nothing_else_is() -> None:
    async with toy(well) as port:
        async with Load("127.0.0.1", port, keeping=2, leaving=2) as load:
            await until(lambda: len(load.samples) >= 20)
        assert {sample.epoch for sample in load.samples} == {3}
        assert load.samples[0].body == b'{"version": "3"}'
        assert (load.failures, load.closes) == ([], 0)


async def test_a_close_in_the_middle_of_an_answer_is_a_failure_and_a_close() -> None:
    async def cut(writer: asyncio.StreamWriter, count: int, head: bytes) -> None:
        writer.write(whole(3)[:-2] if count == 3 else whole(3))
        if count == 3:
            writer.close()

    async with toy(cut) as port, Load("127.0.0.1", port, keeping=1, leaving=0) as load:
        await until(lambda: load.closes > 0)
    assert "closed while a request was under way" in load.failures[0]


async def test_a_polite_close_that_was_not_asked_for_counts_as_well() -> None:
    async def dismiss(writer: asyncio.StreamWriter, count: int, head: bytes) -> None:
        writer.write(whole(3, b"Connection: close\r\n"))
        writer.close()

    async with toy(dismiss) as port, Load("127.0.0.1", port, keeping=1, leaving=0) as load:
        await until(lambda: load.closes > 0)
    assert load.failures[0] == "keep-alive: closed after an answer"


async def test_what_is_asked_for_and_which_status_is_right_can_be_said() -> None:
    heads: list[bytes] = []

    async def missing(writer: asyncio.StreamWriter, count: int, head: bytes) -> None:
        heads.append(head)
        writer.write(b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnone\r\n0\r\n\r\n")

    asking = Asking("/health?deep=1", lambda status: status < 500, kept=2)
    async with toy(missing) as port, Load("127.0.0.1", port, keeping=1, leaving=0, asking=asking) as load:
        await until(lambda: len(load.samples) >= 3)
    assert (load.failures, load.closes, load.samples[0].body) == ([], 0, b"no")
    assert heads[0].startswith(b"GET /health?deep=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % port)


async def test_another_status_is_a_failure() -> None:
    async def unwell(writer: asyncio.StreamWriter, count: int, head: bytes) -> None:
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")

    async with toy(unwell) as port, Load("127.0.0.1", port, keeping=1, leaving=0) as load:
        await until(lambda: load.failures)
    assert "503 Service Unavailable" in load.failures[0]
    assert (load.samples, load.closes) == ([], 0)


async def test_nobody_listening_is_a_failure() -> None:
    async with toy(well) as port:
        pass
    async with Load("127.0.0.1", port, keeping=1, leaving=0) as load:
        await until(lambda: load.failures)
    assert "ConnectionRefusedError" in load.failures[0]
