"""What a worker that leaves cannot hand over ends one after the other, announced, and is told of."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from changeover.workers.channel.connection import Parting
from changeover.workers.participant.events import FarewellsSaid
from changeover.workers.protocol.messages import Farewell
from changeover.workers.runtime.farewells import LAST_WORDS, Farewells
from changeover.workers.runtime.settings import DrainDeadlines
from changeover.workers.serving.failure import is_ending
from changeover.workers.serving.lease import Lease, LeaseKind, UnitSet
from changeover.workers.serving.threads import ThreadPool
from tests.assignments import Owed
from tests.waits import until

WAITS = 10.0


class Chat(asyncio.Protocol):
    """A connection of a kind that cannot go on in another process: it says goodbye in its own way.

    Attributes:
        leaves: Called when it says so, first.
    """

    kind: LeaseKind = LeaseKind.WEBSOCKET
    parting: Parting = Parting.STAYS
    leaves: Callable[["Chat"], None] | None = None

    def __init__(self, room: set["Chat"]) -> None:
        self.since = asyncio.get_running_loop().time()
        self._room = room

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._room.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._room.discard(self)

    def farewell(self, *, asked: bool = False) -> None:
        if self.leaves is not None:
            self.leaves(self)
        self.transport.write(b"goodbye\n")
        self.transport.close()


@asynccontextmanager
async def chatting(clients: int) -> AsyncIterator[tuple[set[Chat], list[asyncio.StreamReader]]]:
    """So many connections over real sockets."""
    room: set[Chat] = set()
    server = await asyncio.get_running_loop().create_server(lambda: Chat(room), "127.0.0.1", 0)
    made = [await asyncio.open_connection(*server.sockets[0].getsockname()) for _ in range(clients)]
    await until(lambda: len(room) == clients)
    try:
        yield room, [reader for reader, _ in made]
    finally:
        for _, writer in made:
            writer.close()
        server.close()
        await until(lambda: not room)


def farewells(
    drain: DrainDeadlines, connections: set[Chat], told: list[FarewellsSaid], *leases: Lease, grace: float = 30.0
) -> Farewells:
    loop = asyncio.get_running_loop()
    return Farewells(loop, drain, grace, connections, lambda: leases, told.append)


async def test_connections_that_cannot_be_handed_over_say_goodbye_one_after_the_other() -> None:
    told: list[FarewellsSaid] = []
    deadline, many = 2.0, 120
    loop = asyncio.get_running_loop()
    async with chatting(many) as (room, readers):
        ending = farewells(DrainDeadlines(websocket=deadline), room, told)
        began = loop.time()
        ending.begin()
        classes = len(ending._timers)

        async def end(reader: asyncio.StreamReader) -> float:
            assert await asyncio.wait_for(reader.read(), WAITS) == b"goodbye\n"
            return loop.time() - began

        heard = min(await asyncio.gather(*map(end, readers)))
        window = ending.window(LeaseKind.WEBSOCKET)
        # When they are due, and not when they were heard: a machine that stands still has several come at once.
        due = sorted(timer.when() - began for timer in ending._timers[classes : classes + many])
        ending.close()
    assert min(heard, due[0]) >= deadline, "until then each may come to its own end"
    assert due[-1] < deadline + window + 0.5
    assert due[-1] - due[0] > window / 2
    assert max(sum(start <= each < start + window / 10 for each in due) for start in due) < many / 3
    assert {(each.kind, each.why) for each in told} == {("websocket", Farewell.FIXED)}
    assert sum(each.count for each in told) == many
    assert max(each.oldest for each in told) >= due[-1] - 0.5


async def test_a_connection_that_left_by_itself_is_not_told_farewell() -> None:
    told: list[FarewellsSaid] = []
    async with chatting(3) as (room, _):
        ending = farewells(DrainDeadlines(websocket=0.1), room, told)
        ending.begin()
        for chat in tuple(room):
            chat.transport.abort()
        await until(lambda: not room)
        await asyncio.sleep(0.15)  # past the deadline of their class
        ending.close()
    assert told == []


async def test_what_another_process_answers_over_ends_after_its_deadline_and_not_before() -> None:
    told: list[FarewellsSaid] = []
    loop = asyncio.get_running_loop()
    async with chatting(3) as (room, readers):
        for chat in room:
            chat.parting = Parting.LATE
        ending = farewells(DrainDeadlines(websocket=0.3), room, told)
        began = loop.time()
        ending.begin()
        assert await asyncio.wait_for(readers[0].read(), WAITS) == b"goodbye\n"
        assert loop.time() - began >= 0.29
        await until(lambda: not room)
        ending.close()
    assert sum(each.count for each in told) == 3


async def test_what_speaks_over_a_websocket_is_ended_when_its_client_was_told_and_it_stayed_all_the_same() -> None:
    told: list[FarewellsSaid] = []
    stays, leaves = lease(LeaseKind.WEBSOCKET), lease(LeaseKind.WEBSOCKET)
    async with chatting(1) as (room, readers):
        ending = farewells(DrainDeadlines(websocket=5.0), room, told, stays, leaves)
        ending.begin()
        assert await asyncio.wait_for(readers[0].read(), WAITS) == b"goodbye\n"
        assert not over(stays)
        assert isinstance(leaves.holder, asyncio.Task)
        leaves.holder.cancel()
        await until(lambda: over(stays))
        ending.close()
    assert [(each.kind, each.why, each.count) for each in told] == [
        ("websocket", Farewell.FIXED, 1),
        ("websocket", Farewell.OVERDUE, 1),
    ]


async def held_for_ever() -> None:
    await asyncio.Event().wait()


def lease(kind: LeaseKind, age: float = 0.0) -> Lease:
    taken = UnitSet(()).lease(kind, 1, "/", time.monotonic_ns() - int(age * 1e9))
    taken.holder = asyncio.get_running_loop().create_task(held_for_ever())
    return taken


def over(each: Lease) -> bool:
    assert isinstance(each.holder, asyncio.Task)
    return each.holder.done()


async def test_what_is_under_way_ends_with_its_class_and_never_before_its_deadline() -> None:
    told: list[FarewellsSaid] = []
    requests = [lease(LeaseKind.HTTP, age) for age in (7.0, 3.0, 1.0)]
    stream = lease(LeaseKind.STREAM)
    ending = farewells(DrainDeadlines(http=0.2, stream=60.0), set(), told, *requests, stream)
    began = asyncio.get_running_loop().time()
    ending.begin()
    ending.begin()
    await until(lambda: any(map(over, requests)))
    assert asyncio.get_running_loop().time() - began >= 0.2
    await until(lambda: all(map(over, requests)))
    await until(lambda: sum(each.count for each in told) == 3)
    assert not over(stream)
    assert {(each.kind, each.why) for each in told} == {("http", Farewell.OVERDUE)}
    assert max(each.oldest for each in told) >= 7.0
    ending.close()
    assert isinstance(stream.holder, asyncio.Task)
    stream.holder.cancel()


async def test_what_waits_for_a_thread_has_as_long_again_as_what_it_waits_for() -> None:
    told: list[FarewellsSaid] = []
    hangs, waits, for_ever = (lease(LeaseKind.HTTP) for _ in range(3))
    waits.waiting.begin_call()
    for_ever.waiting.begin_call()
    ending = farewells(DrainDeadlines(http=0.4), set(), told, hangs, waits, for_ever)
    began = asyncio.get_running_loop().time()
    ending.begin()
    await until(lambda: over(hangs))
    waits.waiting.end_call()
    await until(lambda: over(waits) and over(for_ever))
    assert asyncio.get_running_loop().time() - began >= 0.8
    ending.close()


def in_order(*leases: Lease) -> list[Lease]:
    """Those of them that are over, in the order in which they ended."""
    ended: list[Lease] = []
    for each in leases:
        assert isinstance(each.holder, asyncio.Task)
        each.holder.add_done_callback(lambda _, each=each: ended.append(each))  # type: ignore[misc]
    return ended


async def test_what_got_a_thread_late_has_as_long_from_then_on() -> None:
    told: list[FarewellsSaid] = []
    loop = asyncio.get_running_loop()
    waits, late = lease(LeaseKind.HTTP, age=9.0), lease(LeaseKind.HTTP, age=7.0)
    for each in (waits, late):
        each.waiting.begin_call()
    ended = in_order(waits, late)
    ending = farewells(DrainDeadlines(http=2.0), set(), told, waits, late)
    began = loop.time()
    ending.begin()
    loop.call_at(began + 0.3, late.waiting.end_call)
    await until(lambda: ended)
    assert ended[0] is late, "what still waits has longer"
    assert loop.time() - began >= 2.3
    ending.close()
    assert told[0].oldest >= 7.0
    assert isinstance(waits.holder, asyncio.Task)
    waits.holder.cancel()


async def test_what_waits_for_its_client_has_no_longer_than_others() -> None:
    loop = asyncio.get_running_loop()
    late, slow = lease(LeaseKind.HTTP, age=1.0), lease(LeaseKind.HTTP)
    late.waiting.begin_call()
    slow.waiting.readers += 1
    ended = in_order(late, slow)
    ending = farewells(DrainDeadlines(http=0.5), set(), [], late, slow)
    began = loop.time()
    ending.begin()
    loop.call_at(began + 0.2, late.waiting.end_call)
    loop.call_at(began + 0.4, slow.waiting.resume)
    await until(lambda: len(ended) == 2)
    assert ended == [slow, late]
    assert loop.time() - began >= 0.5
    ending.close()


async def test_a_request_that_becomes_a_stream_in_what_it_has_beyond_its_deadline_ends_when_that_passes() -> None:
    loop = asyncio.get_running_loop()
    late = lease(LeaseKind.HTTP)
    late.waiting.begin_call()
    ending = farewells(DrainDeadlines(http=0.4, stream=0.6), set(), [], late)
    began = loop.time()
    ending.begin()
    loop.call_at(began + 0.3, late.waiting.end_call)
    loop.call_at(began + 0.5, setattr, late, "kind", LeaseKind.STREAM)
    await until(lambda: over(late))
    assert loop.time() - began >= 0.6
    ending.close()


class Hangs(Owed):
    """What a thread does until the test ends it."""

    def __init__(self, lease: Lease) -> None:
        super().__init__(lease)
        self.begun = threading.Event()
        self.end = threading.Event()

    def begin_turn(self) -> None:
        self.lease.waiting.begin_call()

    def end_turn(self) -> None:
        self.lease.waiting.end_call()

    def run(self) -> None:
        self.begun.set()
        assert self.end.wait(10), "the test never ended it"


@pytest.mark.parametrize("answered", [False, True], ids=["owed", "answered by somebody else"])
async def test_who_waits_behind_a_thread_that_hangs_gets_another_one_at_the_deadline(answered: bool) -> None:
    pool = ThreadPool("shop", 1)
    hangs, waits = Hangs(lease(LeaseKind.HTTP)), Hangs(lease(LeaseKind.HTTP))
    pool.submit(hangs)
    pool.submit(waits)
    await until(hangs.begun.is_set)
    held = hangs.lease
    if answered:  # as `timeout` does
        held = hangs.lease.share(LeaseKind.TASK)
        assert isinstance(hangs.lease.holder, asyncio.Task)
        hangs.lease.holder.cancel()
        hangs.lease.release()
        held.holder = hangs.thread
    ending = farewells(DrainDeadlines(http=0.4), set(), [], held, waits.lease)
    ending.begin()
    await until(waits.begun.is_set, "a thread for what waits")
    assert not over(waits.lease)
    ending.close()
    for job in (hangs, waits):
        job.end.set()
        pool.done(job)
    await pool.close(5)
    assert isinstance(waits.lease.holder, asyncio.Task)
    waits.lease.holder.cancel()


def started_under(request: Lease) -> Lease:
    taken = request.share(LeaseKind.TASK)
    taken.holder = asyncio.get_running_loop().create_task(held_for_ever())
    return taken


def at_looks(monkeypatch: pytest.MonkeyPatch, ending: Farewells, does: Callable[[], None]) -> list[float]:
    """When it looks for what is left behind; it `does` that before each look."""
    looks, look = list[float](), ending._end_left_behind

    def seen() -> None:
        does()
        looks.append(time.monotonic())
        look()

    monkeypatch.setattr(ending, "_end_left_behind", seen)
    return looks


async def test_what_works_on_a_request_that_is_under_way_has_the_time_of_that_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[FarewellsSaid] = []
    stream, answered = lease(LeaseKind.STREAM), lease(LeaseKind.HTTP)
    writes, forgotten = started_under(stream), started_under(answered)
    below = started_under(writes)
    answered.release()
    ending = farewells(DrainDeadlines(stream=60.0, task=0.2), set(), told, stream, writes, below, forgotten)
    looks = at_looks(monkeypatch, ending, lambda: None)
    ending.begin()
    await until(lambda: over(forgotten), "the end of what a request left behind")
    assert not looks, "its class ends it"
    await until(lambda: len(looks) > 2, "looks for what was left behind since")
    assert not any(map(over, (stream, writes, below)))
    assert [(each.kind, each.why, each.count) for each in told] == [("task", Farewell.OVERDUE, 1)]
    ending.close()
    for each in (stream, writes, below):
        assert isinstance(each.holder, asyncio.Task)
        each.holder.cancel()


async def test_what_works_on_a_request_is_ended_after_that_and_only_if_it_stays() -> None:
    told: list[FarewellsSaid] = []
    stream = lease(LeaseKind.STREAM)
    stays = started_under(stream)
    assert isinstance(stream.holder, asyncio.Task)
    assert isinstance(stays.holder, asyncio.Task)
    ends: list[str] = []
    stream.holder.add_done_callback(lambda _: ends.append("stream"))
    stays.holder.add_done_callback(lambda _: ends.append("what it started"))
    ending = farewells(DrainDeadlines(http=0.1, stream=0.3, websocket=0.1, task=0.1), set(), told, stream, stays)
    ending.begin()
    await until(lambda: sum(each.count for each in told) == 2, "both ends")
    ending.close()
    assert ends == ["stream", "what it started"]
    assert {(each.kind, each.why) for each in told} == {("stream", Farewell.OVERDUE), ("task", Farewell.OVERDUE)}


async def test_what_a_websocket_started_before_it_moved_has_the_time_of_that_websocket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began, goes_on = lease(LeaseKind.WEBSOCKET), lease(LeaseKind.WEBSOCKET)
    ticks = started_under(began)
    began.go_on_under(goes_on)
    began.release()
    held = [ticks, goes_on]
    loop, drain = asyncio.get_running_loop(), DrainDeadlines(websocket=60.0, task=0.1)
    ending = Farewells(loop, drain, 30.0, set[Chat](), lambda: held, lambda _: None)
    looks = at_looks(monkeypatch, ending, lambda: None)
    ending.begin()
    await until(lambda: len(looks) > 2, "looks at what it started")
    assert not over(ticks)
    held.remove(goes_on)
    goes_on.release()
    await until(lambda: over(ticks), "its end")
    ending.close()


async def test_what_a_request_leaves_behind_late_ends_soon_and_not_with_the_next_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = lease(LeaseKind.STREAM)
    left = started_under(stream)
    ending = farewells(DrainDeadlines(stream=60.0, task=0.1), set(), [], stream, left)
    looks = at_looks(monkeypatch, ending, lambda: None)
    ending.begin()
    await until(lambda: looks, "a look for what is left behind")
    stream.release()
    await until(lambda: over(left), "its end")
    ending.close()


async def test_so_does_what_it_began_when_nothing_was_left_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = lease(LeaseKind.STREAM)
    held = [stream]
    drain = DrainDeadlines(stream=60.0, task=0.1)
    ending = Farewells(asyncio.get_running_loop(), drain, 30.0, set[Chat](), lambda: held, lambda _: None)
    looks = at_looks(monkeypatch, ending, lambda: None)
    ending.begin()
    await until(lambda: looks, "a look that finds nothing")
    held.append(left := started_under(stream))
    stream.release()
    await until(lambda: over(left), "its end")
    ending.close()


async def test_what_is_left_behind_late_has_some_time_to_end_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = lease(LeaseKind.STREAM)
    left = started_under(stream)
    ending = farewells(DrainDeadlines(stream=60.0, task=0.1), set(), [], stream, left)
    looks = at_looks(monkeypatch, ending, stream.release)
    ending.begin()
    await until(lambda: over(left), "its end")
    assert time.monotonic() - looks[0] >= LAST_WORDS
    ending.close()


async def test_what_was_left_behind_late_is_told_to_end_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[FarewellsSaid] = []
    cleaned = asyncio.Event()
    stream = lease(LeaseKind.STREAM)
    left = stream.share(LeaseKind.TASK)

    async def clean_up_slowly() -> None:
        try:
            await held_for_ever()
        finally:
            await cleaned.wait()

    left.holder = asyncio.get_running_loop().create_task(clean_up_slowly())
    ending = farewells(DrainDeadlines(stream=60.0, task=0.1), set(), told, stream, left)
    looks = at_looks(monkeypatch, ending, stream.release)
    ending.begin()
    await until(lambda: len(looks) > 3, "looks at what was told to end")
    cleaned.set()
    ending.close()
    assert [(each.kind, each.count) for each in told] == [("task", 1)]
    assert left.holder.cancelling() == 1


async def test_a_request_that_is_ended_after_a_late_answer_has_time_for_what_it_waits_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = lease(LeaseKind.STREAM)
    left = started_under(stream)
    ending = farewells(DrainDeadlines(stream=60.0, task=0.1), set(), [], stream, left)
    at_looks(monkeypatch, ending, lambda: setattr(stream, "kind", LeaseKind.TASK))
    ending.begin()
    await until(lambda: over(stream), "its end")
    ended = time.monotonic()
    await until(lambda: over(left), "the end of what stays")
    assert time.monotonic() - ended >= LAST_WORDS / 2
    ending.close()


async def test_there_is_one_look_at_a_time_and_none_after_its_close(monkeypatch: pytest.MonkeyPatch) -> None:
    drain = DrainDeadlines(http=0.1, stream=0.2, websocket=0.3, task=0.1)
    ending = farewells(drain, set(), [])
    looks = at_looks(monkeypatch, ending, lambda: None)
    ending.begin()
    await until(lambda: len(looks) > 2, "looks")
    ending.close()
    assert all(later - earlier > LAST_WORDS / 2 for earlier, later in pairwise(looks))
    count = len(looks)
    await asyncio.sleep(1.5 * LAST_WORDS)  # past another one
    assert len(looks) == count


async def test_what_a_request_does_itself_after_a_late_answer_ends_soon_too(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[FarewellsSaid] = []
    stream = lease(LeaseKind.STREAM)
    ending = farewells(DrainDeadlines(stream=60.0, task=0.1), set(), told, stream)
    looks = at_looks(monkeypatch, ending, lambda: setattr(stream, "kind", LeaseKind.TASK))
    ending.begin()
    await until(lambda: over(stream), "its end")
    assert time.monotonic() - looks[0] >= LAST_WORDS
    ending.close()
    assert [(each.kind, each.why, each.count) for each in told] == [("task", Farewell.OVERDUE, 1)]


@pytest.mark.parametrize(
    ("late", "spread"),
    [(False, 0.1), (False, 4 * LAST_WORDS), (True, 0.1)],
    ids=["at the deadline", "long after the deadline, as there are many", "late"],
)
async def test_who_waits_after_the_answer_for_what_it_started_is_ended_before_that(
    monkeypatch: pytest.MonkeyPatch, late: bool, spread: float
) -> None:
    ends: list[bool] = []
    monkeypatch.setattr("changeover.workers.runtime.farewells.window", lambda *_: spread)

    async def waits(work: Lease) -> None:
        assert isinstance(work.holder, asyncio.Task)
        try:
            await work.holder
        except asyncio.CancelledError as error:
            ends.append(is_ending(error))

    requests = [lease(LeaseKind.STREAM) for _ in range(6)]
    works = [started_under(each) for each in requests]
    for request, work in zip(requests, works, strict=True):
        assert isinstance(request.holder, asyncio.Task)
        request.holder.cancel()
        request.holder = asyncio.get_running_loop().create_task(waits(work))

    def answered() -> None:
        for each in requests:
            each.kind = LeaseKind.TASK

    ending = farewells(DrainDeadlines(stream=60.0, task=0.5), set(), [], *requests, *works)
    at_looks(monkeypatch, ending, answered)
    if not late:
        answered()
    ending.begin()
    await until(lambda: len(ends) == len(requests), "all ends")
    ending.close()
    assert all(ends)


async def test_a_request_that_became_a_stream_meanwhile_has_the_time_of_one() -> None:
    told: list[FarewellsSaid] = []
    first, second = lease(LeaseKind.HTTP, 2.0), lease(LeaseKind.HTTP, 1.0)
    ending = farewells(DrainDeadlines(http=0.5, stream=60.0), set(), told, first, second)
    ending.begin()
    await until(lambda: over(first))
    second.kind = LeaseKind.STREAM
    await asyncio.sleep(ending.window(LeaseKind.HTTP))
    assert not over(second)
    ending.close()
    assert [(each.kind, each.count) for each in told] == [("http", 1)]
    assert isinstance(second.holder, asyncio.Task)
    second.holder.cancel()


async def test_a_request_that_became_a_stream_after_the_deadline_of_streams_ends_with_requests() -> None:
    told: list[FarewellsSaid] = []
    late = lease(LeaseKind.HTTP)
    ending = farewells(DrainDeadlines(http=0.3, stream=0.1, websocket=0.5), set(), told, late)
    began = asyncio.get_running_loop().time()
    ending.begin()
    asyncio.get_running_loop().call_at(began + 0.2, setattr, late, "kind", LeaseKind.STREAM)
    await until(lambda: over(late))
    assert asyncio.get_running_loop().time() - began >= 0.3
    ending.close()
    assert [(each.kind, each.count) for each in told] == [("stream", 1)]


async def test_what_was_asked_to_end_is_left_to_its_cleanup() -> None:
    told: list[FarewellsSaid] = []
    slow = lease(LeaseKind.STREAM)
    cleaned = asyncio.Event()

    async def clean_up_slowly() -> None:
        try:
            await held_for_ever()
        finally:
            await asyncio.sleep(0.5)
            cleaned.set()

    assert isinstance(slow.holder, asyncio.Task)
    slow.holder.cancel()
    slow.holder = asyncio.get_running_loop().create_task(clean_up_slowly())
    ending = farewells(DrainDeadlines(http=0.2, stream=0.1, task=0.2, websocket=0.3), set(), told, slow)
    ending.begin()
    await until(cleaned.is_set)
    ending.close()
    assert [(each.kind, each.count) for each in told] == [("stream", 1)]


def test_no_class_ends_after_the_worker_itself_would() -> None:
    loop = asyncio.new_event_loop()
    ending = Farewells(loop, DrainDeadlines(), 30.0, set(), tuple, lambda _: None)
    assert ending.window(LeaseKind.HTTP) == 6.0
    assert ending.window(LeaseKind.WEBSOCKET) == 15.0
    loop.close()


async def test_what_a_stop_cannot_wait_for_is_ended_before_its_connection_is_cut() -> None:
    told: list[FarewellsSaid] = []
    request, stream = lease(LeaseKind.HTTP), lease(LeaseKind.STREAM)
    others = [lease(LeaseKind.TASK), lease(LeaseKind.WEBSOCKET)]
    ending = farewells(DrainDeadlines(), set(), told, request, stream, *others)
    loop = asyncio.get_running_loop()
    began = loop.time()
    ending.begin()
    ending.end_within(2.0)
    assert 1.7 < ending._timers[-1].when() - began < 2.0
    await until(lambda: over(request) and over(stream))
    assert loop.time() - began > 1.7
    assert not any(map(over, others))
    ending.close()
    for each in others:
        assert isinstance(each.holder, asyncio.Task)
        each.holder.cancel()


async def test_connections_that_are_of_another_class_when_their_moments_come_have_that_one_s_deadline() -> None:
    loop = asyncio.get_running_loop()
    async with chatting(100) as (room, readers):
        ending = farewells(DrainDeadlines(http=1.0, stream=2.0), room, [])

        def change_all_others(first: Chat) -> None:
            for chat in room - {first}:
                chat.kind, chat.leaves = LeaseKind.STREAM, None

        for chat in room:
            chat.parting, chat.kind, chat.leaves = Parting.LATE, LeaseKind.HTTP, change_all_others
        began = loop.time()
        ending.begin()

        async def end(reader: asyncio.StreamReader) -> float:
            assert await asyncio.wait_for(reader.read(), WAITS) == b"goodbye\n"
            return loop.time() - began

        ends = sorted(await asyncio.gather(*map(end, readers)))
        ending.close()
    assert ends[0] >= 1.0
    assert ends[1] >= 2.0
