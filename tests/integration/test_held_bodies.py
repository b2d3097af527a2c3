"""Small bodies from the socket to whoever reads them: applications and services get those that came with their head."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any
from wsgiref.validate import validator

from changeover.workers.serving.answering import Answering
from changeover.workers.serving.asgi import Application, Message, Receive, Scope, Send
from changeover.workers.serving.contract import CallContext, Request, Response
from changeover.workers.serving.lease import Taskless
from changeover.workers.serving.pipeline import Pipeline
from tests.exchange import Served
from tests.ready_made import serve
from tests.waits import until
from tests.wire import Client, chunked, connections_of, get, post
from tests.wsgi import OK, PLAIN, application

BODY = b'{"asked": true}'


@asynccontextmanager
async def asking(served: Served) -> AsyncIterator[Client]:
    """A client at the other end of a socket."""
    connections = connections_of(served.dispatcher)
    near, far = socket.socketpair()
    connections.accept(near, "")
    client = Client(*await asyncio.open_connection(sock=far))
    yield client
    await client.close()
    await until(lambda: not served.units.leases, "the end of the request")
    await connections.stop(5)


def served_by(target: Answering) -> Served:
    return Served(Pipeline("shop", (), target))


async def test_an_asgi_application_has_a_small_body_in_one_message_and_hears_that_its_client_left() -> None:
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        heard.append(message)
        while message.get("more_body"):
            message = await receive()
            heard.append(message)
        if scope["path"] == "/wait":
            heard.append(await receive())
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    whole: Message = {"type": "http.request", "body": BODY, "more_body": False}
    async with asking(served_by(Application("app", app))) as client:
        client.send(post("/", BODY) + post("/", BODY) + chunked("/", BODY) + get("/"))
        for _ in range(4):
            assert await client.response() == (200, b"ok")
        in_chunks: list[Message] = [
            {"type": "http.request", "body": BODY, "more_body": True},
            {"type": "http.request", "body": b"", "more_body": False},
        ]
        assert heard == [whole, whole, *in_chunks, {**whole, "body": b""}]
        client.send(post("/wait", BODY))
        await until(lambda: len(heard) == 6, "the body")
        assert heard[5] == whole
        client.writer.transport.abort()
        await until(lambda: len(heard) == 7, "its departure")
        assert heard[6] == {"type": "http.disconnect"}


async def test_a_wsgi_application_has_it_as_its_specification_says_without_a_task() -> None:
    holders: list[object] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        holders.extend(lease.holder for lease in served.units.leases)
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        start_response(OK, [*PLAIN, ("Content-Length", str(len(body)))])
        return [body]

    async with application(validator(app)) as made:
        served = served_by(made)
        async with asking(served) as client:
            for body in (BODY, b"x" * 50_000, BODY):
                client.send(post("/", body))
                assert await client.response() == (200, body)
    assert isinstance(holders[0], Taskless)
    assert isinstance(holders[-1], Taskless)


async def test_a_body_limit_refuses_it_and_the_connection_goes_on() -> None:
    async def echo(request: Request, call: CallContext) -> Response:
        return Response(await request.body())

    async with asking(serve(echo, {"use": "body-limit", "limit": 10})) as client:
        for body, status in ((b"x" * 11, 413), (b"x" * 10, 200), (b"x" * 5000, 413), (b"y", 200)):
            client.send(post("/", body))
            told, content = await client.response()
            assert told == status
            assert told == 413 or content == body
