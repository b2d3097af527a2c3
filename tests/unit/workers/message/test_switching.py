"""A living connection goes from one generation to the next between two messages, and to another process."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from changeover.plugin import Channel, LineCodec, MessageCall, MessageService
from changeover.workers.channel.connection import Connection, Parting
from changeover.workers.channel.luggage import Luggage
from changeover.workers.message.session import MOST_STATE
from changeover.workers.serving.lease import LeaseKind
from tests.handover import Side
from tests.messages import NAME, MessageServer, lines, speaking
from tests.waits import until
from tests.wire import Client, FakeDispatcher, echo


class Sum(MessageService):
    """Adds numbers up, per connection; tells what it is asked to do.

    Attributes:
        told: What happened to connections.
        gate: `wait` is answered once it is set.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.told: list[str] = []
        self.gate = asyncio.Event()

    def opened(self, channel: Channel) -> None:
        self.told.append("opened")
        channel.state = 0

    def closed(self, channel: Channel) -> None:
        self.told.append("closed")

    async def __call__(self, message: str, call: MessageCall) -> str:
        if message == "wait":
            await self.gate.wait()
        elif message:
            call.channel.state += int(message)
        return f"{self.name} {call.epoch} {call.channel.state}"

    def export_state(self, channel: Channel) -> bytes | None:
        self.told.append("exported")
        return str(channel.state).encode()

    def import_state(self, channel: Channel, state: bytes) -> None:
        assert channel.state is None
        self.told.append("imported")
        channel.state = int(state)


async def ask(client: Client, message: str) -> str:
    client.send(f"{message}\n".encode())
    return await line(client)


async def line(client: Client) -> str:
    return (await asyncio.wait_for(client.reader.readline(), 5)).decode().strip()


async def test_a_connection_switches_between_two_messages_with_its_state() -> None:
    old, new = Sum("old"), Sum("new")
    async with speaking(old) as server:
        client = await server.client()
        assert await ask(client, "7") == "old 1 7"
        units = server.swap(2, lines(new))
        assert await ask(client, "1") == "new 2 8"
        assert (old.told, new.told) == (["opened", "exported"], ["imported"])
        assert units.live_leases() == []


async def test_an_idle_connection_holds_the_old_units_until_it_has_moved_and_no_longer() -> None:
    old, new = Sum("old"), Sum("new")
    async with speaking(old) as server:
        client = await server.client()
        await ask(client, "7")
        units = server.swap(2, lines(new))
        assert [(lease.kind, lease.epoch, lease.path) for lease in units.live_leases()] == [(LeaseKind.TASK, 1, NAME)]
        assert old.told == ["opened"]
        server.site.move()
        assert units.live_leases() == []
        assert (old.told, new.told) == (["opened", "exported"], ["imported"])
        assert await ask(client, "1") == "new 2 8"


async def test_many_connections_move_a_few_at_a_time() -> None:
    old, new = Sum("old"), Sum("new")
    async with speaking(old) as server:
        clients = [await server.client() for _ in range(70)]
        await until(lambda: len(old.told) == 70)
        server.swap(2, lines(new))
        server.site.move()
        assert len(new.told) == 64
        await until(lambda: len(new.told) == 70)
        assert await ask(clients[-1], "1") == "new 2 1"


async def test_a_message_under_way_ends_where_it_began_and_the_next_is_of_the_new_generation() -> None:
    old, new = Sum("old"), Sum("new")
    async with speaking(old) as server:
        client = await server.client()
        await ask(client, "7")
        client.send(b"wait\n1\n")
        await until(lambda: server.leases)
        units = server.swap(2, lines(new))
        server.site.move()
        assert old.told == ["opened"]
        old.gate.set()
        assert [await line(client), await line(client)] == ["old 1 7", "new 2 8"]
        assert units.live_leases() == []


async def test_a_busy_connection_moves_with_the_end_of_its_message_and_not_with_the_next() -> None:
    old, new = Sum("old"), Sum("new")
    async with speaking(old) as server:
        client = await server.client()
        client.send(b"wait\n")
        await until(lambda: server.leases)
        units = server.swap(2, lines(new))
        server.site.move()
        old.gate.set()
        assert await line(client) == "old 1 0"
        await until(lambda: units.live_leases() == [])
        assert (old.told, new.told) == (["opened", "exported"], ["imported"])


async def test_a_generation_that_keeps_the_pipeline_keeps_the_state() -> None:
    service = Sum("same")
    async with speaking(service) as server:
        client = await server.client()
        await ask(client, "7")
        server.swap(2, lines(service))
        server.site.move()
        assert await ask(client, "1") == "same 2 8"
        assert service.told == ["opened"]


async def test_a_generation_in_which_nothing_of_it_changed_costs_a_connection_nothing() -> None:
    service = Sum("same")
    pipeline = lines(service)
    async with speaking(service) as server:
        server.swap(2, pipeline)
        client = await server.client()
        await ask(client, "7")
        units = server.swap(3, pipeline)
        assert units.live_leases() == []
        server.site.move()
        assert await ask(client, "1") == "same 3 8"
        assert service.told == ["opened"]


async def test_a_service_without_state_goes_on_without() -> None:
    def count(message: str, call: MessageCall) -> str:
        call.channel.state = (call.channel.state or 0) + 1
        return f"{call.epoch} {call.channel.state}"

    def recount(message: str, call: MessageCall) -> str:
        return f"{call.epoch} {call.channel.state}"

    async with speaking(count) as server:
        client = await server.client()
        assert await ask(client, "") == "1 1"
        server.swap(2, lines(recount))
        assert await ask(client, "") == "2 None"


async def test_state_waits_for_a_generation_that_speaks_the_protocol_again() -> None:
    old, new = Sum("old"), Sum("new")
    async with speaking(old) as server:
        client = await server.client()
        await ask(client, "7")
        server.swap(2, None)
        server.site.move()
        server.swap(3, lines(new))
        server.site.move()
        assert await ask(client, "1") == "new 3 8"


async def test_a_message_that_nothing_answers_any_more_ends_the_connection() -> None:
    async with speaking(Sum("old")) as server:
        client = await server.client()
        await ask(client, "7")
        server.swap(2, None)
        client.send(b"1\n")
        assert await client.rest() == b""  # the protocol went, and its words with it


@pytest.mark.parametrize("broken", ["raises", "no bytes", "too many", "import"])
async def test_state_that_cannot_be_carried_ends_the_connection_and_is_told(
    broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Sum):
        def export_state(self, channel: Channel) -> bytes | None:
            if broken == "raises":
                raise ZeroDivisionError
            return {"no bytes": "7", "too many": bytes(MOST_STATE + 1)}.get(broken, b"x")  # type: ignore[return-value]

    async with speaking(Broken("old")) as server:
        client = await server.client()
        await ask(client, "7")
        units = server.swap(2, lines(Sum("new")))
        server.site.move()
        assert await client.rest() == b"FAILED\n"
        assert units.live_leases() == []
    epoch = 2 if broken == "import" else 1
    assert f"feed:lines failed between two messages on epoch {epoch}" in caplog.text


async def test_what_was_written_before_a_switch_is_sent_as_the_old_generation_words_it() -> None:
    channels: list[Channel] = []

    def keep(message: str, call: MessageCall) -> None:
        channels.append(call.channel)

    async with speaking(keep, outbound_old=lambda messages, channel: ["old"]) as server:
        client = await server.client()
        client.send(b"\n")
        await until(lambda: channels)
        channels[0].write("news")
        server.swap(2, lines(keep, outbound_new=lambda messages, channel: ["new"]))
        server.site.move()
        channels[0].write("news")
        assert [await line(client), await line(client)] == ["old", "new"]


# ---- to another process ----


class Handed:
    """Connections that rest in one worker's part, and go on in another's."""

    def __init__(self, old: MessageServer, new: MessageServer) -> None:
        self.rested: list[Connection] = []
        self.luggage: list[Luggage] = []
        self._old, self._new = old, new
        old.connections.leave(self.rested.append)

    async def over(self, count: int) -> None:
        """Hand over so many."""
        await until(lambda: len(self.rested) >= count)
        for connection in self.rested:
            parted = self._old.connections.part(connection)
            assert parted is not None
            sock, luggage = parted
            self.luggage.append(luggage)
            self._new.connections.adopt(sock, luggage)
        await until(lambda: not len(self._old.connections))


async def test_a_connection_goes_on_in_another_process_with_state_and_unread_bytes() -> None:
    old, new = Sum("old"), Sum("new")
    async with speaking(old) as server, speaking(new) as other:
        client = await server.client()
        assert await ask(client, "7") == "old 1 7"
        client.send(b"wait\n1\n2\nhal")
        await until(lambda: server.leases)
        handed = Handed(server, other)
        assert handed.rested == []
        old.gate.set()
        assert await line(client) == "old 1 7"
        await handed.over(1)
        (luggage,) = handed.luggage
        assert (luggage.initializer, luggage.state, luggage.unread) == (NAME, b"7", b"1\n2\nhal")
        assert [await line(client), await line(client)] == ["new 1 8", "new 1 10"]
        assert (old.told, new.told) == (["opened", "exported"], ["imported"])
        await client.close()
        await until(lambda: new.told == ["imported", "closed"])


async def test_a_connection_that_nobody_greeted_yet_is_greeted_where_it_goes_on() -> None:
    old, new = Sum("old"), Sum("new")
    async with speaking(old) as server, speaking(new) as other:
        server.switch.serving = None
        client = await server.client()
        await Handed(server, other).over(1)
        assert await ask(client, "1") == "new 1 1"
        assert (old.told, new.told) == ([], ["opened"])


async def test_state_passes_through_a_process_in_which_nothing_is_said() -> None:
    services = [Sum(name) for name in "abc"]
    async with speaking(services[0]) as one, speaking(services[1]) as two, speaking(services[2]) as three:
        two.switch.serving = None
        client = await one.client()
        await ask(client, "7")
        await Handed(one, two).over(1)
        await Handed(two, three).over(1)
        assert await ask(client, "1") == "c 1 8"


async def test_what_nobody_takes_gets_the_protocols_own_word() -> None:
    async with speaking(Sum("old")) as server:
        client = await server.client()
        await ask(client, "7")
        rested: list[Connection] = []
        server.connections.leave(rested.append)
        await until(lambda: rested)
        rested[0].farewell()
        assert await client.rest() == b"LEAVING\n"


class Hoarder(Sum):
    """Carries as much as it may."""

    def export_state(self, channel: Channel) -> bytes | None:
        return str(channel.state).encode().ljust(MOST_STATE)


async def test_as_much_state_as_there_may_be_fits_the_packets_of_a_handover(tmp_path: Path) -> None:
    wide = LineCodec(60_000)
    async with speaking(Hoarder("old"), wide) as server, speaking(Sum("new"), wide) as other:
        sides = [
            Side(tmp_path, number, FakeDispatcher(echo), it.connections) for number, it in ((1, server), (2, other))
        ]
        for side in sides:
            side.reception.start()
        clients = [await server.client() for _ in range(20)]
        for number, client in enumerate(clients):
            assert await ask(client, str(number)) == f"old 1 {number}"
            client.send(bytes(60_000) if number % 2 else b"1")  # half a message, as long as it may be
        await until(lambda: sum(len(each.unread()) for each in server.connections) == 10 * 60_001)
        await sides[0].leave_to(sides[1])
        await sides[0].gone()
        assert (len(other.connections), sides[0].departure.ended) == (20, 0)
        assert await ask(clients[4], "") == "new 1 5"
        for side in sides:
            side.close()


async def test_a_connection_over_tls_ends_where_its_keys_are(tmp_path: Path) -> None:
    async with speaking(Sum("old"), certificates=tmp_path) as server:
        idle, asking, busy = [await server.client(tls=True) for _ in range(3)]
        busy.send(b"wait\n")
        await until(lambda: server.leases)
        rested: list[Connection] = []
        server.connections.leave(rested.append)
        assert {each.parting for each in server.connections} == {Parting.STAYS}
        asking.send(b"1\n")
        assert await asking.rest() == b"LEAVING\n"
        for each in server.connections:
            each.farewell()
        assert await idle.rest() == b"LEAVING\n"
        cast(Sum, server.service).gate.set()
        assert await busy.rest() == b"old 1 0\nLEAVING\n"
        assert rested == []


async def stream(message: str, call: MessageCall) -> AsyncIterator[str]:
    for number in range(3):
        yield f"{call.epoch} {number}"
        await asyncio.sleep(0.01)


async def test_a_stream_ends_in_the_generation_in_which_it_began() -> None:
    async with speaking(stream) as server:
        client = await server.client()
        client.send(b"\n\n")
        assert await line(client) == "1 0"
        server.swap(2, lines(stream))
        server.site.move()
        assert [await line(client) for _ in range(3)] == ["1 1", "1 2", "2 0"]
