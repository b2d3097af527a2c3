"""Connections pass from worker to worker, and their clients notice nothing."""

import asyncio
import socket
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from changeover.workers.channel.limits import Limits
from changeover.workers.channel.phases import Phase
from changeover.workers.handover import events
from changeover.workers.handover.departure import PATIENCE
from changeover.workers.handover.errors import Unreachable
from changeover.workers.handover.link import Link
from changeover.workers.handover.messages import MOST_TOGETHER, Denial
from changeover.workers.http.upgrade import WireUpgrade
from changeover.workers.link import endpoints
from changeover.workers.link.packets import send_packet
from changeover.workers.serving.exchange import Exchange
from changeover.workers.serving.lease import LeaseKind
from changeover.workers.websocket.connection import WebSocketConnection
from tests.handover import Side, descriptors, sides, worker_id
from tests.waits import until
from tests.websockets_wire import asking
from tests.wire import Client, WireServer, chunked, echo, field_of, get, post, serving

CLOCK = 0.01
"""Seconds by which two looks at a clock that is read once in each turn of a loop may differ."""


class Gate:
    """Answers paths that begin with `/slow` when it is opened."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        if exchange.request.path.startswith("/slow"):
            await self.open.wait()
        await echo(exchange)


def deafen(side: Side) -> None:
    """Let a receiver read no more, as one that hangs does."""
    for link in side.reception._links.values():
        side.reception._loop.remove_reader(link._sock)


async def test_idle_silent_and_half_said_connections_go_on_elsewhere(tmp_path: Path) -> None:
    async with serving() as server, sides(tmp_path, server) as workers:
        old, new = workers.first(), workers.add()
        idle, silent, half = [await server.client() for _ in range(3)]
        await idle.ask()
        half.send(get("/half")[:9])
        await until(lambda: any(connection.unread() for connection in old.connections))
        await old.leave_to(new)
        await old.gone()
        assert (len(old.connections), len(new.connections)) == (0, 3)
        assert new.arrived == [idle.writer.get_extra_info("peername")]
        half.send(get("/half")[9:])
        assert await half.response() == (200, b"GET /half ")
        assert await idle.ask("/idle") == (200, b"GET /idle ")
        assert await silent.ask("/silent") == (200, b"GET /silent ")
        assert sorted(new.paths) == ["/half", "/idle", "/silent"]


async def test_a_request_in_flight_is_answered_where_it_began_and_its_successors_elsewhere(tmp_path: Path) -> None:
    gate = Gate()
    async with serving(gate) as server, sides(tmp_path, server) as workers:
        old, new = workers.first(), workers.add()
        client = await server.client()
        client.send(get("/slow") + get("/second") + post("/third", b"body") + get("/fourth")[:7])
        await until(lambda: old.paths == ["/slow"])
        await old.leave_to(new)
        client.send(get("/fourth")[7:])
        await until(
            lambda: any(
                connection.unread().endswith(b"/fourth HTTP/1.1\r\nHost: test\r\n\r\n")
                for connection in old.connections
            )
        )
        assert len(new.connections) == 0
        gate.open.set()
        assert field_of(await client.head(), b"connection") is None
        assert await client.exactly(10) == b"GET /slow "
        assert [await client.response() for _ in range(3)] == [
            (200, b"GET /second "),
            (200, b"POST /third body"),
            (200, b"GET /fourth "),
        ]
        await old.gone()
        assert (old.paths, new.paths) == (["/slow"], ["/second", "/third", "/fourth"])


@pytest.mark.parametrize("whole", [post("/body", b"x" * 5000), chunked("/body", b"some", b"pieces" * 100)])
async def test_a_body_under_way_is_read_to_its_end_by_who_began_it(tmp_path: Path, whole: bytes) -> None:
    async with serving() as server, sides(tmp_path, server) as workers:
        old, new = workers.first(), workers.add()
        client = await server.client()
        client.send(whole[:-100])
        await until(lambda: old.paths == ["/body"])
        await old.leave_to(new)
        for at in range(len(whole) - 100, len(whole)):
            client.send(whole[at : at + 1])
            await asyncio.sleep(0)
        client.send(get("/next"))
        status, body = await client.response()
        assert (status, body[:11]) == (200, b"POST /body ")
        assert await client.response() == (200, b"GET /next ")
        await old.gone()
        assert (old.paths, new.paths) == (["/body"], ["/next"])


async def test_a_body_that_nobody_wanted_is_read_to_its_end_too(tmp_path: Path) -> None:
    async def careless(exchange: Exchange) -> None:
        exchange.start(200, [(b"content-length", b"2")])
        exchange.write(b"ok")
        exchange.end()

    async with serving(careless) as server, sides(tmp_path, server) as workers:
        old, new = workers.first(), workers.add()
        client = await server.client()
        client.send(post("/body", b"x" * 1000)[:-500])
        assert await client.response() == (200, b"ok")
        await old.leave_to(new)
        client.send(b"x" * 500 + get("/next"))
        assert await client.response() == (200, b"ok")
        await old.gone()
        assert new.paths == ["/next"]


async def test_an_answer_is_written_out_before_its_connection_leaves(tmp_path: Path) -> None:
    size = 8_000_000

    async def large(exchange: Exchange) -> None:
        exchange.start(200, [(b"content-length", b"%d" % size)])
        exchange.write(b"x" * size)
        exchange.end()

    async with serving(large) as server, sides(tmp_path, server) as workers:
        old, new = workers.first(), workers.add()
        client = await server.client(receive_buffer=4096)
        client.send(get("/large"))
        await until(lambda: Phase.WRITING in old.connections.phases())
        await old.leave_to(new)
        await client.head()
        assert len(old.connections) == 1
        assert await client.exactly(size) == b"x" * size
        await old.gone()
        assert len(new.connections) == 1


async def test_held_requests_go_with_their_bytes_and_are_served_at_once(tmp_path: Path) -> None:
    async with serving(holding=True) as server, sides(tmp_path, server) as workers:
        old, new = workers.first(), workers.add()
        client = await server.client()
        client.send(get("/held") + get("/behind"))
        await until(lambda: Phase.HELD in old.connections.phases())
        await old.leave_to(new)
        old.dispatcher.holding = False
        old.connections.resume_all()
        assert [await client.response() for _ in range(2)] == [(200, b"GET /held "), (200, b"GET /behind ")]
        assert (old.paths, new.paths) == ([], ["/held", "/behind"])


async def test_a_client_that_has_shut_its_write_side_gets_all_its_answers(tmp_path: Path) -> None:
    gate = Gate()
    async with serving(gate) as server, sides(tmp_path, server) as workers:
        old, new = workers.first(), workers.add()
        one, two = await server.client(), await server.client()
        one.send(get("/slow/1") + get("/second"))
        one.shut()
        two.send(get("/slow/2"))
        two.shut()
        await until(lambda: all(connection.outlet.client_shut for connection in old.connections))
        await old.leave_to(new)
        gate.open.set()
        assert [await one.response() for _ in range(2)] == [(200, b"GET /slow/1 "), (200, b"GET /second ")]
        assert (await one.rest(), await two.response(), await two.rest()) == (b"", (200, b"GET /slow/2 "), b"")
        assert new.paths == ["/second"]


async def test_whoever_was_accepted_last_goes_as_well(tmp_path: Path) -> None:
    async with serving() as server, sides(tmp_path, server) as workers:
        old, new = workers.first(), workers.add()
        await old.leave_to(new)
        sock = socket.create_connection(server.listener.getsockname())
        client = Client(*await asyncio.open_connection(sock=sock))
        server.clients.append(client)
        client.send(get("/late"))
        assert await client.response() == (200, b"GET /late ")
        assert (old.paths, new.paths) == ([], ["/late"])


async def test_what_arrives_at_a_worker_that_leaves_as_well_goes_on_from_there(tmp_path: Path) -> None:
    async with serving() as server, sides(tmp_path, server) as workers:
        old, middle, new = workers.first(), workers.add(), workers.add()
        asked, half = await server.client(), await server.client()
        await asked.ask()
        half.send(get("/half")[:9])
        await until(lambda: any(connection.unread() for connection in old.connections))
        await middle.leave_to(new)
        await old.leave_to(middle)
        asked.send(get("/asked"))
        half.send(get("/half")[9:])
        assert [await asked.response(), await half.response()] == [(200, b"GET /asked "), (200, b"GET /half ")]
        assert (middle.paths, sorted(new.paths)) == ([], ["/asked", "/half"])
        assert sorted(connection.requests for connection in new.connections) == [1, 2]


async def test_counters_and_deadlines_go_on(tmp_path: Path) -> None:
    async with serving() as server, sides(tmp_path, server) as workers:
        old, new = workers.first(), workers.add()
        idle, half = await server.client(), await server.client()
        for _ in range(3):
            await idle.ask()
        half.send(b"GET ")
        await until(lambda: Phase.HEAD in old.connections.phases())
        began = asyncio.get_running_loop().time() - 20.0
        old.connections.sweep(began)
        before = sorted((connection.requests, connection.client) for connection in old.connections)
        await old.leave_to(new)
        await old.gone()
        await until(lambda: sum(new.connections.phases().values()) == 2)
        assert sorted((connection.requests, connection.client) for connection in new.connections) == before
        assert [connection.watch.since for connection in new.connections] == [began, began]
        new.connections.sweep(began + Limits().head_timeout)
        assert (await half.head()).startswith(b"HTTP/1.1 408")
        new.connections.sweep(began + Limits().keep_alive)
        assert await idle.rest() == b""


async def test_a_connection_that_was_late_on_its_way_has_a_moment_left(tmp_path: Path) -> None:
    async with serving() as server, sides(tmp_path, server) as workers:
        old, new = workers.first(), workers.add()
        client = await server.client()
        await client.ask()
        loop = asyncio.get_running_loop()
        old.connections.sweep(loop.time() - 2 * Limits().keep_alive)
        await old.leave_to(new)
        client.send(get("/just-in-time"))
        await until(lambda: len(new.connections) == 1)
        new.connections.sweep(loop.time())
        assert await client.response() == (200, b"GET /just-in-time ")


async def test_what_nobody_takes_is_closed_politely_when_its_time_is_over(tmp_path: Path) -> None:
    async with serving() as server, sides(tmp_path, server) as workers:
        old, new = workers.first(patience=0.1), workers.add()
        idle, half = await server.client(), await server.client()
        await idle.ask()
        half.send(b"GET ")
        new.room = 0
        await old.leave_to(new)
        assert await idle.rest() == b""
        refused = await half.rest()
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert field_of(refused, b"connection") == b"close"
        await idle.close()
        await half.close()
        await old.gone()
        assert (old.departure.ended, old.departure.adopted) == (2, 0)


async def test_what_was_taken_back_is_offered_to_another(tmp_path: Path) -> None:
    async with serving() as server, sides(tmp_path, server) as workers:
        old, first, second = workers.first(), workers.add(), workers.add()
        clients = [await server.client() for _ in range(100)]
        await old.departure.connect([first.worker], 5.0)
        await until(lambda: old.departure.sender._links[first.worker].credit)
        deafen(first)
        old.departure.begin()
        await until(lambda: sum(len(link.offered) for link in old.departure.sender._links.values()) == 32)
        old.departure.add([second.worker])
        await until(lambda: len(second.connections) == 68)
        first.reception.close()
        await old.gone()
        assert (len(first.connections), len(second.connections)) == (0, 100)
        for client in clients:
            assert await client.ask() == (200, b"GET / ")


async def with_much_unread(server: WireServer, worker: Side, gate: Gate, clients: int) -> list[Client]:
    """Clients who have asked for something slow, and sent 50 KB more behind it."""
    made = [await server.client() for _ in range(clients)]
    for number, client in enumerate(made):
        client.send(get("/slow") + post(f"/{number}", bytes((97 + number,)) * 50_000))
    await until(lambda: sum(len(connection.unread()) > 50_000 for connection in worker.connections) == clients)
    return made


async def test_many_unread_bytes_arrive_although_the_link_is_full_again_and_again(tmp_path: Path) -> None:
    gate = Gate()
    async with serving(gate) as server, sides(tmp_path, server) as workers:
        old, new = workers.first(), workers.add()
        clients = await with_much_unread(server, old, gate, 20)
        await old.leave_to(new)
        gate.open.set()
        for number, client in enumerate(clients):
            assert await client.response() == (200, b"GET /slow ")
            assert await client.response() == (200, b"POST /%d " % number + bytes((97 + number,)) * 50_000)
        await old.gone()
        assert (len(new.connections), old.departure.ended) == (20, 0)


async def test_connections_share_packets_as_far_as_their_unread_bytes_allow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packets: list[int] = []

    def send(link: Link, data: bytes, fds: Sequence[int] = ()) -> None:
        packets.append(len(fds))
        send_packet(link._sock, data, fds)

    gate = Gate()
    async with serving(gate) as server, sides(tmp_path, server) as workers:
        old, new = workers.first(), workers.add()
        for _ in range(MOST_TOGETHER + 2):
            await server.client()
        await until(lambda: len(old.connections) == MOST_TOGETHER + 2)
        clients = await with_much_unread(server, old, gate, 2)
        await old.departure.connect([new.worker], 5.0)
        monkeypatch.setattr(Link, "send", send)
        old.departure.begin()
        await until(lambda: len(new.connections) == MOST_TOGETHER + 2)
        assert [many for many in packets if many] == [MOST_TOGETHER, 2]
        gate.open.set()
        for client in clients:
            assert [(await client.response())[0] for _ in range(2)] == [200, 200]
        assert [many for many in packets if many] == [MOST_TOGETHER, 2, 1, 1]


async def test_a_packet_that_is_too_long_for_one_link_takes_another(tmp_path: Path) -> None:
    gate = Gate()
    async with serving(gate) as server, sides(tmp_path, server) as workers:
        old, narrow, wide = workers.first(), workers.add(), workers.add()
        (client,) = await with_much_unread(server, old, gate, 1)
        await old.leave_to(narrow, wide)
        old.departure._links[narrow.worker]._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        gate.open.set()
        assert [(await client.response())[0] for _ in range(2)] == [200, 200]
        await old.gone()
        assert (len(narrow.connections), len(wide.connections)) == (0, 1)


async def test_what_is_too_long_for_the_only_link_ends_alone_and_its_neighbours_in_the_packet_go_over(
    tmp_path: Path,
) -> None:
    async with serving() as server, sides(tmp_path, server) as workers:
        old, narrow = workers.first(patience=0.3), workers.add()
        idle, half = await server.client(), await server.client()
        await idle.ask()
        half.send(b"GET / HTTP/1.1\r\nlong: " + b"x" * 20_000)
        await until(lambda: any(len(connection.unread()) > 20_000 for connection in old.connections))
        await old.departure.connect([narrow.worker], 5.0)
        await until(lambda: old.departure.sender._links[narrow.worker].credit)
        old.departure._links[narrow.worker]._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        old.departure.begin()
        await until(lambda: len(narrow.connections) == 1)
        assert await idle.ask() == (200, b"GET / ")
        assert (await half.rest()).startswith(b"HTTP/1.1 503 ")
        await half.close()
        await old.gone()
        assert (old.departure.adopted, old.departure.ended) == (1, 1)


async def test_the_end_of_a_departure_hears_what_was_said_until_then(tmp_path: Path) -> None:
    async with serving() as server, sides(tmp_path, server) as workers:
        old, new = workers.first(), workers.add()
        clients = [await server.client() for _ in range(10)]
        await old.departure.connect([new.worker], 5.0)
        await until(lambda: old.departure.sender._links[new.worker].credit)
        deafen(new)
        old.departure.begin()
        await until(lambda: len(old.departure.sender._links[new.worker].offered) == 10)
        new.reception.close()
        old.departure.close()
        assert (old.departure.ended, old.departure.adopted) == (10, 0)
        for client in clients:
            assert await client.rest() == b""


async def test_a_receiver_that_lost_a_link_is_reached_again(tmp_path: Path) -> None:
    async with serving() as server, sides(tmp_path, server) as workers:
        old, new = workers.first(), workers.add()
        clients = [await server.client() for _ in range(50)]
        new.room = 0
        await old.leave_to(new)
        (number,) = new.reception._links
        new.reception._drive.feed(events.Nonsense(number))
        new.room = 1000
        await old.gone()
        assert (len(new.connections), old.departure.ended) == (50, 0)
        for client in clients:
            assert await client.ask() == (200, b"GET / ")


async def test_the_receiver_with_the_fewest_connections_is_chosen(tmp_path: Path) -> None:
    async with serving() as server, serving() as other, sides(tmp_path, server) as workers:
        old, full, empty = workers.first(), workers.add(), workers.add()
        for _ in range(10):
            await server.client()
        await old.leave_to(full)
        await old.gone()
        late = [await other.client() for _ in range(30)]
        third = workers.add(server=other)
        await third.leave_to(full, empty)
        await third.gone()
        assert (len(full.connections), len(empty.connections)) == (20, 20)
        for client in late:
            assert await client.ask() == (200, b"GET / ")


async def test_no_more_than_a_batch_is_adopted_in_one_turn_of_the_loop(tmp_path: Path) -> None:
    async with serving() as server, serving() as other, sides(tmp_path, server) as workers:
        old, third, new = workers.first(), workers.add(server=other), workers.add()
        for _ in range(60):
            await server.client()
            await other.client()
        seen: list[int] = []
        new.connections.on_change = seen.append
        counted: list[int] = []

        async def count() -> None:
            while len(seen) < 120:
                counted.append(len(seen))
                await asyncio.sleep(0)

        counting = asyncio.ensure_future(count())
        await asyncio.gather(old.leave_to(new), third.leave_to(new))
        await asyncio.gather(old.gone(), third.gone())
        await counting
        assert max(after - before for before, after in pairwise(counted)) <= 32


async def test_who_cannot_be_reached_is_named(tmp_path: Path) -> None:
    async with serving() as server, sides(tmp_path, server) as workers:
        old, new = workers.first(), workers.add()
        foreign = workers.add(journal="another")
        with pytest.raises(Unreachable) as refused:
            await old.departure.connect([new.worker, foreign.worker, worker_id(77)], 0.2)
        assert set(refused.value.reasons) == {foreign.worker, worker_id(77)}
        assert "slot 77 (incarnation 77, cohort 77): No such file or directory" in str(refused.value)
        assert refused.value.reasons[foreign.worker] == Denial.FOREIGN.value
        assert foreign.reception.receiver.denials[Denial.FOREIGN] == 1
        await server.client()
        old.departure.begin()
        await old.gone()
        assert len(new.connections) == 1


async def test_a_sender_of_another_version_is_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as server, sides(tmp_path, server) as workers:
        old, new = workers.first(), workers.add()
        monkeypatch.setattr("changeover.workers.handover.departure.HANDOVER_VERSION", 99)
        with pytest.raises(Unreachable, match="unknown protocol version"):
            await old.departure.connect([new.worker], 5.0)
        assert new.reception.receiver.denials[Denial.VERSION] == 1


async def test_a_worker_that_has_no_room_yet_gets_connections_as_soon_as_it_says_so(tmp_path: Path) -> None:
    async with serving() as server, sides(tmp_path, server) as workers:
        old, new = workers.first(), workers.add()
        new.room = 0
        client = await server.client()
        await old.leave_to(new)
        client.send(get("/waits"))
        await until(lambda: old.departure.sender.held == 1)
        assert len(new.connections) == 0
        new.room = 10
        new.reception.refresh()
        assert await client.response() == (200, b"GET /waits ")


async def test_the_socket_is_for_the_group_and_is_gone_at_the_end(tmp_path: Path) -> None:
    async with serving() as server, sides(tmp_path, server) as workers:
        new = workers.add()
        path = endpoints.handover(tmp_path, new.worker)
        assert path.stat().st_mode & 0o777 == 0o660
        new.reception.close()
        assert not path.exists()


async def hand_over_all(server: WireServer, runtime: Path, *, taken: bool) -> None:
    """Leave to workers that refuse, and perhaps to one that does not."""
    async with sides(runtime, server) as workers:
        old = workers.first(patience=PATIENCE if taken else 0.1)
        taker, foreign, full = workers.add(), workers.add(journal="another"), workers.add()
        full.room = 0
        for _ in range(100):
            await server.client()
        with pytest.raises(Unreachable):
            await old.departure.connect([foreign.worker, full.worker], 5.0)
        if taken:
            await old.departure.connect([taker.worker], 5.0)
        old.departure.begin()
        await until(lambda: old.departure.adopted + old.departure.ended == 100)
        assert old.departure.adopted == (100 if taken else 0)


async def test_nothing_leaks_whatever_became_of_the_connections(tmp_path: Path) -> None:
    for turn in range(2):
        async with serving() as server:
            await hand_over_all(server, tmp_path, taken=bool(turn))
    before = descriptors()
    for turn in range(30):
        async with serving() as server:
            await hand_over_all(server, tmp_path, taken=turn % 3 > 0)
    await until(lambda: descriptors() == before, f"{before} descriptors")


async def test_many_that_nobody_takes_end_one_after_the_other_and_none_is_reset(tmp_path: Path) -> None:
    many, patience, window = 150, 2.0, 1.5
    async with serving() as server, sides(tmp_path, server) as workers:
        old, new = workers.first(patience, window), workers.add()
        clients = [await server.client() for _ in range(many)]
        for client in clients[::2]:
            await client.ask()
        new.room = 0
        began = asyncio.get_running_loop().time()
        await old.leave_to(new)
        waiting = old.departure.sender._waiting
        await until(lambda: len(waiting) == many, "all to wait")
        # When they are due, and not when they are seen: a machine that stands still has several come at once.
        due = sorted(each.until - began for each in waiting.values())
        assert await asyncio.gather(*(client.rest() for client in clients)) == [b""] * many
        assert due[0] > patience - CLOCK
        assert due[-1] - due[0] > window / 2
        assert max(sum(start <= each < start + window / 10 for each in due) for start in due) < many / 4
        for client in clients:
            await client.close()
        await old.gone()
        assert old.departure.ended == len(old.waited) == many
        assert min(old.waited) > patience - CLOCK


async def test_answers_under_way_say_that_they_are_the_last_once_nobody_is_left_to_take_their_connections(
    tmp_path: Path,
) -> None:
    gate = Gate()
    async with serving(gate) as server, sides(tmp_path, server) as workers:
        old, new = workers.first(patience=0.1), workers.add()
        client, streaming = await server.client(), await server.client()
        client.send(get("/slow"))
        await until(lambda: old.paths == ["/slow"])
        await old.leave_to(new)
        new.close()
        await until(lambda: all(connection.outlet.ending for connection in old.connections))
        gate.open.set()
        assert field_of(await client.head(), b"connection") == b"close"
        assert await client.exactly(10) == b"GET /slow "
        assert await client.rest() == b""
        await streaming.close()
        await client.close()
        await old.gone()


async def test_answers_under_way_promise_to_go_on_as_long_as_somebody_may_take_them(tmp_path: Path) -> None:
    gate = Gate()
    async with serving(gate) as server, sides(tmp_path, server) as workers:
        old, new = workers.first(patience=0.05), workers.add()
        client, waiting = await server.client(), await server.client()
        client.send(get("/slow"))
        await until(lambda: old.paths == ["/slow"])
        await old.leave_to(new)
        assert await waiting.ask("/there") == (200, b"GET /there ")
        looking = old.departure._looking
        assert looking is not None
        await until(lambda: looking.when() < asyncio.get_running_loop().time(), "it to look for receivers")
        gate.open.set()
        assert field_of(await client.head(), b"connection") is None


async def test_a_websocket_is_not_hurried_where_nobody_is_left_to_take_anything(tmp_path: Path) -> None:
    gate = Gate()

    async def accept_or_wait(exchange: Exchange) -> None:
        if isinstance(exchange, WireUpgrade):
            exchange.accept([])
        else:
            await gate(exchange)

    async with serving(accept_or_wait) as server, sides(tmp_path, server) as workers:
        old = workers.first(patience=0.05)
        client, speaking = await server.client(), await server.client()
        speaking.send(asking())
        assert (await speaking.head()).startswith(b"HTTP/1.1 101")
        client.send(get("/slow"))
        await until(lambda: "/slow" in old.paths)
        old.departure.begin()
        await until(lambda: any(each.kind is LeaseKind.HTTP and each.outlet.ending for each in old.connections))
        (session,) = [each for each in old.connections if isinstance(each, WebSocketConnection)]
        assert session.closed is None
        session.farewell()
        gate.open.set()
        assert field_of(await client.head(), b"connection") == b"close"
