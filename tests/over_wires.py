"""A pipeline asked over real connections."""

from changeover.workers.http.making import Making
from changeover.workers.serving.exchange import Exchange
from tests.exchange import Served
from tests.http2_wire import spoken
from tests.wire import get, serving


async def asked(served: Served, *, http2: bool, method: str = "GET", making: Making | None = None) -> tuple[int, bytes]:
    """Status and body of the response to one request, on a connection of its own."""

    async def answer(exchange: Exchange) -> None:
        served.dispatcher.dispatch(exchange)

    if http2:
        async with spoken(answer, making=making) as (_, client):
            number = client.ask("/", method=method)
            client.flush()
            told = await client.answer(number)
            return told.status, bytes(told.body)
    async with serving(answer, making=making) as server:
        client1 = await server.client()
        client1.send(get("/", "Connection: close\r\n", method))
        head, _, body = (await client1.rest()).partition(b"\r\n\r\n")
        return int(head[9:12]), body
