"""Raw protocols over real sockets, on both loops: answers, limits, backpressure, ends."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from changeover.plugin import Channel, Codec, LineCodec, MessageCall, MessageService, NotReady, Pressure
from changeover.workers.channel.limits import Limits
from changeover.workers.channel.outlet import Outlet
from changeover.workers.message.connection import MessageConnection
from changeover.workers.message.outbox import MOST_UNTAKEN
from changeover.workers.message.site import MESSAGES
from changeover.workers.serving.lease import LeaseKind, current_lease
from tests.messages import NAME, speaking
from tests.waits import DEADLINE, until
from tests.wire import Client


async def line(client: Client) -> bytes:
    return await asyncio.wait_for(client.reader.readline(), 5)


def echo(message: str, call: MessageCall) -> str | None:
    return None if message == "hush" else f"{message} {call.epoch}"


async def slow(message: str, call: MessageCall) -> str:
    await asyncio.sleep(0)
    return message


async def test_each_message_gets_its_answer_wherever_its_bytes_are_split() -> None:
    async with speaking(echo) as server:
        client = await server.client()
        client.send(b"one\ntwo\nhush\nth")
        assert [await line(client), await line(client)] == [b"one 1\n", b"two 1\n"]
        client.send(b"ree\n")
        assert await line(client) == b"three 1\n"
        assert server.pipeline.counters.hits == 4
        assert server.leases == []


async def test_answers_of_one_turn_of_the_loop_leave_in_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[bytes] = []
    send = Outlet.send

    def noted(outlet: Outlet, pieces: Sequence[bytes], size: int) -> None:
        writes.append(b"".join(pieces))
        send(outlet, pieces, size)

    monkeypatch.setattr(Outlet, "send", noted)
    async with speaking(echo) as server:
        client = await server.client()
        client.send(b"a\nb\nc\n")
        assert await client.exactly(12) == b"a 1\nb 1\nc 1\n"
        assert writes == [b"a 1\nb 1\nc 1\n"]


async def test_messages_are_answered_one_after_the_other() -> None:
    async def late(message: str, call: MessageCall) -> str:
        await asyncio.sleep(0.02 if message == "first" else 0)
        return message

    async with speaking(late) as server:
        client = await server.client()
        client.send(b"first\nsecond\n")
        assert [await line(client), await line(client)] == [b"first\n", b"second\n"]


async def test_an_inbound_handler_answers_in_place_of_what_is_behind_it() -> None:
    reached = []

    async def gate(message: str, call: MessageCall) -> str | None:
        return "closed" if message == "knock" else None

    def behind(message: str, call: MessageCall) -> None:
        reached.append(message)

    async with speaking(echo, inbound_gate=gate, inbound_behind=behind) as server:
        client = await server.client()
        client.send(b"knock\nhello\n")
        assert [await line(client), await line(client)] == [b"closed\n", b"hello 1\n"]
        assert reached == ["hello"]


async def test_outbound_handlers_see_together_what_is_written_up_to_a_flush() -> None:
    batches = []

    def joined(messages: Sequence[str], channel: Channel) -> Sequence[str]:
        batches.append(list(messages))
        return [",".join(messages)]

    def talkative(message: str, call: MessageCall) -> str:
        call.channel.write("a")
        call.channel.write("b")
        call.channel.flush()
        call.channel.write("c")
        return "d"

    async with speaking(talkative, outbound_joined=joined) as server:
        client = await server.client()
        client.send(b"\n")
        assert await client.exactly(8) == b"a,b\nc,d\n"
        assert batches == [["a", "b"], ["c", "d"]]


async def test_an_answer_in_pieces_is_a_stream_and_waits_for_its_client() -> None:
    kinds = []

    async def count(message: str, call: MessageCall) -> AsyncIterator[str]:
        for number in range(int(message)):
            yield str(number)
            kinds.append(call.lease.kind)
            await asyncio.sleep(0)

    async with speaking(count) as server:
        client = await server.client()
        client.send(b"3\n")
        assert await client.exactly(6) == b"0\n1\n2\n"
        assert kinds == [LeaseKind.HTTP, LeaseKind.STREAM, LeaseKind.STREAM]
        await until(lambda: server.leases == [])


async def test_a_service_reads_further_messages_as_a_part_of_one() -> None:
    async def letter(message: str, call: MessageCall) -> str:
        lines = [message]
        while (following := await call.channel.read()) not in (".", None):
            lines.append(following)
        return "|".join(lines)

    async with speaking(letter) as server:
        client = await server.client()
        client.send(b"dear\nsir")
        await until(lambda: [lease.kind for lease in server.leases] == [LeaseKind.STREAM])
        client.send(b"\n.\nnext\n.\n")
        assert [await line(client), await line(client)] == [b"dear|sir\n", b"next\n"]
        client.send(b"cut\n")
        client.shut()
        assert await client.rest() == b"cut\n"


async def test_a_channel_is_read_only_where_a_message_is_answered() -> None:
    channels: list[Channel] = []

    class Keeps(MessageService):
        def __call__(self, message: object, call: MessageCall) -> None:
            """Nothing is answered."""

        def opened(self, channel: Channel) -> None:
            channels.append(channel)

    async with speaking(Keeps()) as server:
        await server.client()
        await until(lambda: channels)
        with pytest.raises(RuntimeError, match="none under way"):
            await channels[0].read()


async def test_a_client_that_shuts_its_side_gets_all_its_answers() -> None:
    async with speaking(slow) as server:
        client = await server.client()
        client.send(b"a\nb\nincomplete")
        client.shut()
        assert await client.rest() == b"a\nb\n"


async def test_a_service_shuts_its_side_and_goes_on_listening() -> None:
    heard = []

    def listen(message: str, call: MessageCall) -> None:
        heard.append(message)
        if message == "go":
            call.channel.write("gone")
            call.channel.shut()
            assert call.channel.write("more") is Pressure.GONE

    async with speaking(listen) as server:
        client = await server.client()
        client.send(b"go\n")
        assert await client.rest() == b"gone\n"
        client.send(b"still here\n")
        await until(lambda: heard == ["go", "still here"])
        client.shut()
        await until(lambda: not len(server.connections))


async def test_a_service_closes_once_its_message_is_answered() -> None:
    async def bye(message: str, call: MessageCall) -> str:
        call.channel.close()
        await asyncio.sleep(0)
        return "bye"

    async with speaking(bye) as server:
        client = await server.client()
        client.send(b"a\nb\n")
        assert await client.rest() == b"bye\n"


class Greeting(MessageService):
    """Tells what becomes of connections."""

    def __init__(self) -> None:
        self.channels: list[Channel] = []
        self.gone: list[Channel] = []

    def opened(self, channel: Channel) -> None:
        self.channels.append(channel)
        channel.write(f"hello {channel.outcome.listener}")

    def closed(self, channel: Channel) -> None:
        self.gone.append(channel)

    def __call__(self, message: str, call: MessageCall) -> None:
        for each in self.channels:
            each.write(message)


async def test_a_service_greets_writes_to_all_and_hears_who_left() -> None:
    service = Greeting()
    async with speaking(service) as server:
        one, other = await server.client(), await server.client()
        assert [await line(one), await line(other)] == [b"hello 127.0.0.1:8011\n"] * 2
        one.send(b"news\n")
        assert [await line(one), await line(other)] == [b"news\n"] * 2
        await one.close()
        await until(lambda: service.gone == [service.channels[0]])
        assert service.channels[0].write("late") is Pressure.GONE


# ---- what a client may not do ----


@pytest.mark.parametrize(("said", "answered"), [(b"\xff\n", b""), (b"x" * 80, b""), (b"ok\n\xff\n", b"ok 1\n")])
async def test_what_is_no_message_ends_with_the_protocols_own_word(said: bytes, answered: bytes) -> None:
    async with speaking(echo) as server:
        client = await server.client()
        client.send(said)
        assert await client.rest() == answered + b"MALFORMED\n"


async def test_a_client_that_closes_when_it_is_told_off_is_gone_at_once() -> None:
    async with speaking(echo, limits=Limits(linger=60)) as server:
        client = await server.client()
        client.send(b"\xff\n")
        assert await client.rest() == b"MALFORMED\n"
        await client.close()
        await until(lambda: not len(server.connections))


async def test_an_idle_client_and_a_slow_one_are_told_so() -> None:
    limits = Limits(linger=0.05)
    async with speaking(echo, limits=limits, idle=0.1, message=0.1) as server:
        silent, slow = await server.client(), await server.client()
        slow.send(b"begun")
        assert await silent.rest() == b"IDLE\n"
        assert await slow.rest() == b"SLOW\n"


async def test_a_client_that_does_not_read_costs_bounded_memory_and_no_other_client() -> None:
    begun = 0

    def large(message: str, call: MessageCall) -> str:
        nonlocal begun
        begun += 1
        return "x" * 50_000

    async with speaking(large, limits=Limits(write_timeout=0.3)) as server:
        client, other = await server.client(receive_buffer=4096), await server.client()
        client.send(b"\n" * 10_000)
        await until(lambda: server.connections and any(each.outlet.clogged for each in server.connections))
        other.send(b"\n")
        assert len(await line(other)) == 50_001
        assert begun < 500
        await until(lambda: sum(1 for _ in server.connections) == 1)


async def test_many_small_messages_leave_the_others_their_turns_and_are_all_answered() -> None:
    begun = 0

    def count(message: str, call: MessageCall) -> str:
        nonlocal begun
        begun += 1
        return str(begun)

    async with speaking(count) as server:
        client = await server.client()
        client.send(b"\n" * 10_000)
        client.writer.write_eof()
        most = 0
        async with asyncio.timeout(DEADLINE):
            while begun < 10_000:
                before = begun
                await asyncio.sleep(0)
                most = max(most, begun - before)
        assert 0 < most <= MESSAGES
        assert (await client.rest()).split() == [b"%d" % number for number in range(1, 10_001)]


async def test_a_client_that_does_not_take_what_others_have_it_told_is_cut_off() -> None:
    service = Greeting()
    async with speaking(service, LineCodec(60_000)) as server:
        client = await server.client(receive_buffer=4096)
        await until(lambda: service.channels)
        (channel,), (connection,) = service.channels, server.connections
        written = 0
        while channel.pressure is not Pressure.GONE and written < 20 * MOST_UNTAKEN:
            channel.write("x" * 50_000)
            channel.flush()
            written += 50_000
        assert written < 20 * MOST_UNTAKEN
        assert connection.outlet.ended
        await client.close()


async def test_how_well_a_client_takes_what_is_written_is_told() -> None:
    service = Greeting()
    async with speaking(service, LineCodec(60_000)) as server:
        client = await server.client(receive_buffer=4096)
        await line(client)
        (channel,) = service.channels
        await until(lambda: channel.pressure is Pressure.FREE)
        assert channel.write("x") is Pressure.BUFFERED
        await until(lambda: channel.pressure is Pressure.FREE)
        while channel.flush() is not Pressure.CLOGGED:
            channel.write("x" * 50_000)
        drained = asyncio.ensure_future(channel.drain())
        await asyncio.sleep(0)
        assert not drained.done()
        async with asyncio.timeout(10):
            while not drained.done():
                await client.reader.read(65536)


# ---- what goes wrong ----


@pytest.mark.parametrize("service", ["sync", "async", "stream", "exit", "encode"])
async def test_a_failure_ends_the_connection_and_is_logged_with_its_place(
    service: str, caplog: pytest.LogCaptureFixture
) -> None:
    def sync(message: str, call: MessageCall) -> str:
        raise ZeroDivisionError(message)

    async def later(message: str, call: MessageCall) -> str:
        await asyncio.sleep(0)
        raise ZeroDivisionError(message)

    async def stream(message: str, call: MessageCall) -> AsyncIterator[str]:
        yield "begun"
        raise ZeroDivisionError(message)

    async def leave(message: str, call: MessageCall) -> str:
        raise SystemExit(message)

    def broken(message: str, call: MessageCall) -> str:
        return "two\nlines"

    services = {"sync": sync, "async": later, "stream": stream, "exit": leave, "encode": broken}
    async with speaking(services[service]) as server:
        client = await server.client()
        client.send(b"a\nb\n")
        begun = b"begun\n" if service == "stream" else b""
        assert await client.rest() == begun + b"FAILED\n"
        assert server.leases == []
        assert server.pipeline.counters.hits == (2 if service == "encode" else 1)  # that was found out with the batch
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert NAME in record.getMessage()
    assert "on epoch 1" in record.getMessage()


async def test_a_codec_that_gives_no_bytes_is_told_of_and_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    class Text(LineCodec):
        def encode(self, message: str) -> bytes:
            return message if message == "text" else super().encode(message)  # type: ignore[return-value]

    async with speaking(lambda message, call: message, Text()) as server:
        client = await server.client()
        client.send(b"bytes\ntext\n")
        assert await client.rest() == b""
    (record,) = caplog.records
    assert record.getMessage() == f"{NAME} failed between two messages on epoch 1"
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "Text.encode gave a str; give bytes"


async def test_a_service_that_is_not_ready_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    def closed(message: str, call: MessageCall) -> str:
        raise NotReady

    async with speaking(closed) as server:
        client = await server.client()
        client.send(b"a\n")
        assert await client.rest() == b"UNSERVED\n"
    assert caplog.records == []


async def test_a_greeting_that_fails_ends_the_connection() -> None:
    class Broken(MessageService):
        def __call__(self, message: object, call: MessageCall) -> None:
            """Nothing is answered."""

        def opened(self, channel: Channel) -> None:
            raise ZeroDivisionError

    async with speaking(Broken()) as server:
        client = await server.client()
        assert await client.rest() == b"FAILED\n"


async def test_a_goodbye_that_fails_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    class Speechless(LineCodec):
        def goodbye(self, goodbye: Any) -> bytes:
            raise ZeroDivisionError

    codec: Codec[str] = Speechless()
    async with speaking(echo, codec) as server:
        client = await server.client()
        client.send(b"\xff\n")
        assert await client.rest() == b""
    assert "ZeroDivisionError" in caplog.text


async def test_a_message_whose_lease_ends_is_given_up_and_its_client_told() -> None:
    ended = asyncio.Event()

    async def forever(message: str, call: MessageCall) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async with speaking(forever) as server:
        client = await server.client()
        client.send(b"wait\n")
        await until(lambda: server.leases)
        (lease,) = server.leases
        assert (lease.kind, lease.path, lease.epoch) == (LeaseKind.HTTP, NAME, 1)
        assert lease.end("its time is over")
        assert await client.rest() == b"LEAVING\n"
        assert ended.is_set()
        assert server.leases == []


async def test_one_message_leaves_nothing_to_the_next() -> None:
    held = []

    def note(message: str, call: MessageCall) -> str:
        held.append(current_lease.get())
        return message

    async with speaking(note) as server:
        client = await server.client()
        client.send(b"a\nb\n")
        assert await client.exactly(4) == b"a\nb\n"
        assert held[0] is not held[1]
        assert current_lease.get() is None


async def test_a_client_that_leaves_lets_its_message_end_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    gate, service = asyncio.Event(), Greeting()

    async def wait(message: str, call: MessageCall) -> str:
        await gate.wait()
        assert call.channel.pressure is Pressure.GONE
        service.channels.append(call.channel)
        return "too late"

    async with speaking(wait) as server:
        client = await server.client()
        client.send(b"a\n")
        await until(lambda: server.leases)
        (connection,) = server.connections
        connection.abort()
        await until(lambda: not len(server.connections))
        gate.set()
        await until(lambda: server.leases == [])
        await client.close()
    assert service.channels
    assert caplog.records == []


# ---- what the worker does ----


async def test_a_worker_that_stops_lets_idle_clients_go_and_finishes_messages() -> None:
    gate = asyncio.Event()

    async def wait(message: str, call: MessageCall) -> str:
        await gate.wait()
        return message

    async with speaking(wait) as server:
        idle, busy = await server.client(), await server.client()
        idle.send(b"")
        busy.send(b"a\nb\n")
        await until(lambda: server.leases)
        stopping = asyncio.ensure_future(server.connections.stop(5))
        assert await idle.rest() == b"LEAVING\n"
        gate.set()
        assert await busy.rest() == b"a\nLEAVING\n"
        await idle.close()
        await busy.close()
        assert await stopping == 0


async def test_a_message_that_may_not_be_dispatched_is_held() -> None:
    async with speaking(echo) as server:
        client = await server.client()
        serving, server.switch.serving = server.switch.serving, None
        client.send(b"a\n")
        await until(lambda: any(each.unread() for each in server.connections))
        server.switch.serving = serving
        server.connections.resume_all()
        assert await line(client) == b"a 1\n"


async def test_a_message_that_is_held_for_too_long_is_answered() -> None:
    async with speaking(echo, limits=Limits(held=0.1)) as server:
        client = await server.client()
        server.switch.serving = None
        client.send(b"a\n")
        assert await client.rest() == b"UNSERVED\n"


async def test_connections_that_end_leave_nothing_behind() -> None:
    async with speaking(echo) as server:
        for _ in range(3):
            client = await server.client()
            client.send(b"a\n")
            await line(client)
            client.writer.transport.abort()
            await until(lambda: not len(server.connections))
    gc.collect()
    assert not [each for each in gc.get_objects() if type(each) in (MessageConnection, Channel)]
