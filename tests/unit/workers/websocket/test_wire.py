"""Frames on the wire: what clients of others send and see, and what is no WebSocket."""

import asyncio
import zlib

import pytest
import websockets
from websockets.exceptions import InvalidStatus
from websockets.protocol import Event
from websockets.server import ServerProtocol
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.extensions import PerMessageDeflate

from changeover.workers.channel.connection import Parting
from changeover.workers.channel.limits import Limits
from changeover.workers.channel.phases import Phase
from changeover.workers.serving.contract import CallContext
from changeover.workers.serving.message import Response
from changeover.workers.serving.session import WebSocketClosed
from changeover.workers.serving.websocket import WebSocket, WebSocketService
from changeover.workers.websocket.connection import FRAMES, SMALL_STEP, STEP
from tests.waits import DEADLINE, until
from tests.websockets_wire import (
    BINARY,
    CLOSE,
    COMPRESSING,
    ECHO,
    PING,
    PONG,
    TEXT,
    SpeakingServer,
    asking,
    echo,
    frame,
    speaking,
)
from tests.wire import get


class Ends:
    """A service that takes what comes and keeps how it ended."""

    def __init__(self) -> None:
        self.messages: list[str | bytes] = []
        self.ends: list[tuple[int, str]] = []
        self.service = WebSocketService("test:ends", self._speak)

    async def _speak(self, socket: WebSocket, call: CallContext) -> None:
        await socket.accept()
        try:
            while True:
                self.messages.append(await socket.receive())
        except WebSocketClosed as closed:
            self.ends.append((closed.code, closed.reason))

    async def ended(self) -> tuple[int, str]:
        await until(lambda: self.ends, "the end to be told")
        [end] = self.ends
        return end


async def test_text_binary_and_fragments_come_back() -> None:
    async with speaking(ECHO) as server, server.connect() as client:
        for message in ("", "héllo", b"", bytes(range(256)), "x" * 200_000, b"y" * 70_000):
            await client.send(message)
            assert await client.recv() == message
        await client.send(["a", "ü", "c"])
        assert await client.recv() == "aüc"


async def test_wsproto_agrees_on_compression_and_on_every_frame() -> None:
    async with speaking(ECHO) as server:
        client = await server.wsproto(PerMessageDeflate())
        accepted = await client.event()
        assert isinstance(accepted, AcceptConnection)
        assert [type(extension) for extension in accepted.extensions] == [PerMessageDeflate]
        client.send(TextMessage(data="hello " * 1000))
        text = ""
        while len(text) < 6000:
            piece = await client.event()
            assert isinstance(piece, TextMessage)
            text += piece.data
        assert text == "hello " * 1000
        client.send(BytesMessage(data=b"a", message_finished=False))
        client.send(Ping(payload=b"between"))
        assert await client.event() == Pong(payload=b"between")
        client.send(BytesMessage(data=b"b"))
        assert await client.event() == BytesMessage(data=bytearray(b"ab"))
        client.send(CloseConnection(code=4000, reason="enough"))
        assert await client.event() == CloseConnection(code=4000, reason="enough")


async def test_it_does_not_matter_how_the_bytes_arrive() -> None:
    async with speaking(ECHO) as server:
        client = await server.client()
        said = asking() + frame(TEXT, b"a", fin=False) + frame(PING, b"p") + frame(0, b"b" * 200) + frame(BINARY, b"c")
        for number in range(len(said)):
            client.send(said[number : number + 1])
            await client.writer.drain()
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        frames = [await client.frame() for _ in range(3)]
        assert frames == [(PONG, b"p"), (TEXT, b"a" + b"b" * 200), (BINARY, b"c")]


async def test_compression_can_be_switched_off() -> None:
    async with speaking(ECHO, limits=Limits(deflate=False)) as server, server.connect() as client:
        assert client.response is not None
        assert "Sec-WebSocket-Extensions" not in client.response.headers


async def test_frames_that_come_with_the_request_wait_until_it_is_accepted() -> None:
    async with speaking(ECHO) as server:
        client = await server.client()
        client.send(asking() + frame(TEXT, b"early"))
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        assert await client.frame() == (TEXT, b"early")
        client.send(frame(CLOSE, b"\x03\xe8"))
        assert await client.closing() == (1000, "")
        assert await client.rest() == b""


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(TEXT, b"a", masked=False), 1002),
        (frame(3), 1002),
        (frame(TEXT, b"a", rsv1=True), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(PING, fin=False), 1002),
        (frame(0, b"continued"), 1002),
        (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
        (frame(TEXT, b"a", fin=False) + frame(CLOSE, b"\x03\xe8"), 1002),
        (frame(CLOSE, b"\x03"), 1002),
        (frame(CLOSE, (1005).to_bytes(2)), 1002),
        (frame(CLOSE, (1000).to_bytes(2) + b"\xff"), 1007),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"\xc3", fin=False) + frame(0, b"("), 1007),
        (frame(TEXT, b"x" * 1001), 1009),
        (frame(TEXT, b"x" * 600, fin=False) + frame(0, b"x" * 600), 1009),
        (b"\x82\xff" + (1 << 40).to_bytes(8) + bytes(4), 1009),
    ],
)
async def test_what_breaks_the_protocol_is_closed_with_its_code_and_told(sent: bytes, code: int) -> None:
    ends = Ends()
    async with speaking(ends.service, limits=Limits(message=1000)) as server:
        client = await server.raw()
        client.send(sent)
        assert (await client.closing())[0] == code
        assert await client.rest() == b""
        assert (await ends.ended())[0] == code
        assert ends.messages == []


async def test_a_small_frame_does_not_grow_beyond_the_limit() -> None:
    ends = Ends()
    bomb = zlib.compressobj(wbits=-12)
    packed = (bomb.compress(bytes(5_000_000)) + bomb.flush(zlib.Z_SYNC_FLUSH))[:-4]
    async with speaking(ends.service, limits=Limits(message=1_000_000)) as server:
        client = await server.raw(fields=COMPRESSING)
        client.send(frame(BINARY, packed, rsv1=True))
        assert (await client.closing())[0] == 1009
        assert ends.messages == []


@pytest.mark.parametrize(
    ("sent", "end"),
    [
        (frame(CLOSE, (1001).to_bytes(2) + b"tab closed"), (1001, "tab closed")),
        (frame(CLOSE, (4321).to_bytes(2)), (4321, "")),
        (frame(CLOSE), (1005, "")),
        (b"", (1006, "")),
        (frame(TEXT, b"half", fin=False), (1006, "")),
    ],
)
async def test_the_end_is_told_with_the_clients_code(sent: bytes, end: tuple[int, str]) -> None:
    ends = Ends()
    async with speaking(ends.service) as server:
        client = await server.raw()
        client.send(sent)
        if sent[:1] == b"\x88":
            assert (await client.frame())[0] == CLOSE
        else:
            client.shut()
        assert await client.rest() == b""
        assert await ends.ended() == end


async def test_messages_before_a_hasty_end_are_all_delivered() -> None:
    ends = Ends()
    async with speaking(ends.service, limits=Limits(messages=2)) as server:
        client = await server.raw()
        client.send(b"".join(frame(TEXT, b"%d" % number) for number in range(50)) + frame(CLOSE, b"\x03\xe8"))
        client.shut()
        assert await ends.ended() == (1000, "")
        assert ends.messages == [str(number) for number in range(50)]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (asking().replace(b"Version: 13", b"Version: 8"), 426),
        (asking().replace(b"Sec-WebSocket-Version: 13\r\n", b""), 426),
        (asking().replace(b"Sec-WebSocket-Key", b"Sec-WebSocket-No"), 400),
        (asking(fields="Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), 400),
        (b"GET / HTTP/1.1\r\nHost: test\r\n\r\n", 426),
        (asking().replace(b"GET /", b"PUT /"), 426),
    ],
)
async def test_what_cannot_become_a_websocket_is_answered(request_: bytes, status: int) -> None:
    async with speaking(ECHO) as server:
        client = await server.client()
        client.send(request_)
        head = await client.head()
        assert int(head[9:12]) == status
        if b"connection: close" in head and status == 426:
            assert b"sec-websocket-version: 13" in head


async def test_where_nothing_speaks_over_websockets_the_request_is_like_any_other() -> None:
    async with speaking(lambda request, call: Response.text("plain")) as server:
        client = await server.client()
        client.send(asking())
        assert await client.response() == (200, b"plain")
        assert await client.ask() == (200, b"plain")


async def test_a_rejection_is_an_answer_and_the_connection_goes_on() -> None:
    async def reject(socket: WebSocket, call: CallContext) -> Response:
        return Response.text("members only", 401)

    async with speaking(WebSocketService("test:reject", reject)) as server:
        client = await server.client()
        for _ in range(2):
            client.send(asking())
            assert await client.response() == (401, b"members only")
        with pytest.raises(InvalidStatus):
            await server.connect()


async def _flood(socket: WebSocket, call: CallContext) -> None:
    await socket.accept()
    while True:
        await socket.send(bytes(64 * 1024))


async def test_a_client_that_never_reads_stops_the_sender_and_is_cut() -> None:
    limits = Limits(write_timeout=0.3)
    async with speaking(WebSocketService("test:flood", _flood), limits=limits) as server:
        await server.raw(receive_buffer=4096)
        await until(lambda: server.connections.phases()[Phase.WRITING], "the client to be behind")
        [connection] = server.connections
        assert connection.outlet.sent < 16 * 1024 * 1024
        await until(lambda: not len(server.connections), "the client to be cut")
        await until(lambda: not server.served.units.leases, "the application to have heard")


async def test_pings_of_a_client_that_never_reads_are_not_answered_without_end() -> None:
    async with speaking(ECHO, limits=Limits(write_timeout=0.5)) as server:
        client = await server.raw(receive_buffer=4096)
        [connection] = server.connections
        pings = frame(PING, b"x" * 125) * 500
        for _ in range(300):
            client.send(pings)
            try:
                await asyncio.wait_for(client.writer.drain(), 0.2)
            except (TimeoutError, ConnectionError):
                break
        assert connection.outlet.sent < 16 * 1024 * 1024
        await until(lambda: not len(server.connections), "the client to be cut")


async def test_nothing_more_is_read_while_the_application_is_behind() -> None:
    go_on = asyncio.Event()
    taken: list[str | bytes] = []

    async def slow(socket: WebSocket, call: CallContext) -> None:
        await socket.accept()
        await go_on.wait()
        async for message in socket:
            taken.append(message)

    async with speaking(WebSocketService("test:slow", slow), limits=Limits(messages=4)) as server:
        client = await server.raw()
        for _ in range(400):
            client.send(frame(BINARY, bytes(64 * 1024)))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.writer.drain(), 0.5)
        go_on.set()
        await until(lambda: len(taken) == 400, "everything to be taken")


async def test_many_small_messages_leave_the_others_their_turns() -> None:
    ends = Ends()
    async with speaking(ends.service) as server:
        client = await server.raw()
        client.send(frame(TEXT) * 10_000 + frame(CLOSE))
        seen, most = 0, 0
        while not ends.ends:
            most = max(most, len(ends.messages) - seen)
            seen = len(ends.messages)
            await asyncio.sleep(0)
        assert len(ends.messages) == 10_000
        assert 0 < most <= 32


SMALL = {"pings": frame(PING), "pongs": frame(PONG), "pieces": frame(0, fin=False)}


@pytest.mark.parametrize("fields", ["", COMPRESSING], ids=["plain", "compressing"])
@pytest.mark.parametrize("small", SMALL)
async def test_many_small_frames_leave_the_others_their_turns(
    small: str, fields: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, count = 0, 30_000
    events_received = ServerProtocol.events_received

    def counted(protocol: ServerProtocol) -> list[Event]:
        nonlocal read
        events = events_received(protocol)
        read += len(events)
        return events

    monkeypatch.setattr(ServerProtocol, "events_received", counted)
    async with speaking(ECHO) as server:
        client = await server.raw(fields=fields)
        client.send(frame(BINARY, b"whole", fin=False) + SMALL[small] * count + frame(0))
        turns = []
        async with asyncio.timeout(DEADLINE):
            while read < count + 2:
                before = read
                await asyncio.sleep(0)
                turns.append(read - before)
        assert 0 < max(turns) <= FRAMES + STEP // len(frame(PING))
        assert sorted(turns)[-2] <= FRAMES + 2 * SMALL_STEP // len(frame(PING))
        while (answered := await client.frame())[0] == PONG:
            continue
        assert answered == (BINARY, b"whole") or (fields and answered[0] == BINARY)


async def test_a_request_before_it_is_answered_first_and_what_is_held_is_offered_again() -> None:
    async with speaking(ECHO) as server:
        client = await server.client()
        generation, server.served.admission.generation = server.served.admission.generation, None
        client.send(get() + asking())
        await until(lambda: server.connections.phases()[Phase.HELD], "the request to be held")
        server.served.admission.generation = generation
        server.connections.resume_all()
        assert (await client.response())[0] == 426
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        client.send(frame(TEXT, b"then"))
        assert await client.frame() == (TEXT, b"then")


async def test_a_silent_client_is_asked_and_one_that_answers_stays() -> None:
    ends = Ends()
    async with speaking(ends.service, limits=Limits(ping_interval=0.05, ping_timeout=0.2)) as server:
        client = await server.raw()
        for _ in range(3):
            assert await client.frame() == (PING, b"")
            client.send(frame(PONG))
        while (received := await client.frame()) == (PING, b""):
            continue
        assert received == (CLOSE, (1011).to_bytes(2) + b"keepalive ping timeout")
        assert await ends.ended() == (1006, "no answer to a ping")


async def test_a_client_that_does_not_agree_to_the_end_is_cut() -> None:
    async def close(socket: WebSocket, call: CallContext) -> None:
        await socket.accept()
        await socket.close(4001, "over")

    async with speaking(WebSocketService("test:close", close), limits=Limits(close_timeout=0.2)) as server:
        client = await server.raw()
        assert await client.closing() == (4001, "over")
        assert await client.rest() == b""


async def stopped(server: SpeakingServer, client: websockets.ClientConnection) -> tuple[int | None, str | None]:
    cut = await server.connections.stop(2.0)
    assert cut == 0
    await client.wait_closed()
    return client.close_code, client.close_reason


async def test_a_stop_says_service_restart_at_once() -> None:
    async with speaking(ECHO) as server, server.connect() as client:
        assert await stopped(server, client) == (1012, "service restart")


async def test_what_is_accepted_while_the_server_stops_is_closed_at_once() -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(socket: WebSocket, call: CallContext) -> None:
        asked.set()
        await go_on.wait()
        await echo(socket, call)

    async with speaking(WebSocketService("test:slow", slow)) as server:
        client = await server.client()
        client.send(asking())
        await asked.wait()
        stopping = asyncio.ensure_future(server.connections.stop(5.0))
        await asyncio.sleep(0)
        go_on.set()
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        assert await client.closing() == (1012, "service restart")
        client.send(frame(CLOSE, (1012).to_bytes(2)))
        assert await stopping == 0


async def test_a_farewell_says_service_restart() -> None:
    async with speaking(ECHO) as server, server.connect() as client:
        [connection] = server.connections
        assert connection.parting is Parting.STAYS
        connection.farewell()
        await client.wait_closed()
        assert (client.close_code, client.close_reason) == (1012, "service restart")


async def test_a_lease_that_is_ended_closes_with_service_restart() -> None:
    async with speaking(ECHO) as server, server.connect() as client:
        [lease] = server.served.units.leases
        assert lease.kind.value == "websocket"
        assert lease.end("too many resident copies")
        await client.wait_closed()
        assert (client.close_code, client.close_reason) == (1012, "service restart")
