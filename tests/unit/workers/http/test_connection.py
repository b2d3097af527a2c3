"""A connection, from the client's side."""

from tests.wire import get, serving


async def test_requests_on_one_connection_are_answered_in_order() -> None:
    async with serving() as server:
        client = await server.client()
        assert await client.ask("/a") == (200, b"GET /a ")
        assert await client.ask("/b") == (200, b"GET /b ")
        client.send(get("/c") + get("/d"))
        assert await client.response() == (200, b"GET /c ")
        assert await client.response() == (200, b"GET /d ")
