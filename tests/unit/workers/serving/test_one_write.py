"""What a pipeline writes in one turn of the loop leaves in one system call, counted at the socket."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from changeover.workers.serving.answering import Answering
from changeover.workers.serving.contract import CallContext, Request, Response
from changeover.workers.serving.pipeline import Pipeline
from tests.exchange import Served
from tests.ready_made import answering, parts
from tests.waits import until
from tests.wire import connections_of

HANDLERS = ("request-id", {"use": "cors", "origins": ["*"]}, "compression", "errors", "timeout")


class CountingSocket(socket.socket):
    """Counts what is asked of the kernel."""

    sent = 0

    def send(self, *arguments: object) -> int:
        type(self).sent += 1
        return super().send(*arguments)  # type: ignore[arg-type]

    def sendmsg(self, *arguments: object) -> int:
        type(self).sent += 1
        return super().sendmsg(*arguments)  # type: ignore[arg-type]


async def calls_for(target: Answering, *handlers: object) -> tuple[int, bytes]:
    """How many system calls an answer takes, and the answer."""
    CountingSocket.sent = 0
    pipeline = Pipeline("shop", parts(*handlers), target)  # type: ignore[arg-type]
    served = Served(pipeline)
    connections = connections_of(served.dispatcher)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    connections.accept(CountingSocket(fileno=ours.detach()), "")
    reader, writer = await asyncio.open_connection(sock=theirs)
    writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    await until(lambda: pipeline.counters.hits == 1 and not served.units.leases, "an answer")
    sent = CountingSocket.sent
    await connections.stop(5)
    answer = await reader.read()
    writer.close()
    return sent, answer


@pytest.mark.parametrize("kind", ["native", "asgi"])
@pytest.mark.parametrize("handlers", [(), HANDLERS], ids=["alone", "behind handlers"])
async def test_a_whole_answer_is_one_call(kind: str, handlers: tuple[object, ...]) -> None:
    sent, answer = await calls_for(answering(kind, b"hello"), *handlers)
    assert sent == 1
    assert answer.endswith(b"\r\n\r\nhello")


async def test_pieces_of_one_turn_are_one_call_and_those_of_another_are_not_held_back() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(5):
            yield b"%d" % number
        await asyncio.sleep(0.01)
        yield b"later"

    async def stream(request: Request, call: CallContext) -> Response:
        return Response(pieces())

    sent, answer = await calls_for(stream, "request-id")
    assert sent == 2
    assert b"\r\n\r\n5\r\n01234\r\n5\r\nlater\r\n0\r\n\r\n" in answer
