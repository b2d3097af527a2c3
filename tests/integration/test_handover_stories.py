"""Connections move between real processes, under load, and through everything that can go wrong."""

import asyncio
import os
import resource
import signal
import socket
import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from changeover.workers.runtime.counts import create
from tests.handover_clients import KINDS, Load
from tests.handover_worker import NOBODY, Setting, Worker
from tests.waits import until, until_sync
from tests.wire import get

SLOTS = 512
ROLLS, CLIENTS = 20, 20


class Stage:
    """Processes on one listening socket.

    Attributes:
        setting: What they have in common.
        workers: All that were made.
    """

    def __init__(self, runtime: Path) -> None:
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        listener.setblocking(False)  # a dup of one that blocks would make it block for everybody
        self.setting = Setting(runtime, listener, create(), SLOTS)
        self.workers: list[Worker] = []
        self._clients: list[socket.socket] = []

    def fork(self, *, nofile: int | None = None, room: int | None = None, uid: int = 0) -> Worker:
        worker = Worker.fork(self.setting, len(self.workers) + 1, nofile=nofile, room=room, uid=uid)
        self.workers.append(worker)
        return worker

    def connect(self) -> socket.socket:
        client = socket.create_connection(self.setting.listener.getsockname())
        client.settimeout(30)
        self._clients.append(client)
        return client

    def clients(self, worker: Worker, wanted: int) -> list[socket.socket]:
        """Connections that `worker` has, each of which was served once."""
        clients = [self.connect() for _ in range(wanted)]
        assert all(ask(client) for client in clients)
        assert worker.order("report").connections == wanted
        return clients

    def close(self) -> list[int]:
        for client in self._clients:
            client.close()
        statuses = [worker.end() for worker in self.workers]
        self.setting.listener.close()
        os.close(self.setting.page)
        return statuses


@pytest.fixture
def stage() -> Iterator[Stage]:
    with tempfile.TemporaryDirectory() as runtime:
        os.chmod(runtime, 0o777)
        stage = Stage(Path(runtime))
        yield stage
        assert [status for status in stage.close() if status not in (0, -signal.SIGKILL)] == []


@pytest.fixture(autouse=True)
def _descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def ask(client: socket.socket) -> bool:
    """Whether the connection lives and answers."""
    try:
        client.sendall(get("/asked"))
        received = b""
        while not received.endswith(b"GET /asked "):
            piece = client.recv(4096)
            if not piece:
                return False
            received += piece
    except ConnectionError:
        return False
    return received.startswith(b"HTTP/1.1 200")


async def roll(old: Sequence[Worker], new: Sequence[Worker]) -> None:
    """Replace workers as a committed roll does."""
    for worker in old:
        await asyncio.to_thread(worker.order, "connect", *(each.incarnation for each in new))
    for worker in new:
        await asyncio.to_thread(worker.order, "accept")
    for worker in old:
        await asyncio.to_thread(worker.order, "begin")
    for worker in old:
        left = await asyncio.to_thread(worker.order, "done")
        assert (left.connections, left.held, left.ended) == (0, 0, 0)


async def roll_under_load(load: Load, cohorts: Sequence[Sequence[Worker]]) -> None:
    """Replace each cohort by the next, and let every client see each of them."""
    for worker in cohorts[0]:
        await asyncio.to_thread(worker.order, "accept")
    for kind in KINDS:
        load.start(kind, CLIENTS)
    for old, new in pairwise(cohorts):
        seen = load.answered["busy"]
        await until(lambda seen=seen: load.faults or load.answered["busy"] > seen + 200)  # type: ignore[misc]
        await roll(old, new)
    await load.stop()


def test_twenty_rolls_under_a_mixed_load_lose_nothing_and_close_nothing(stage: Stage) -> None:
    cohorts = [[stage.fork(), stage.fork()] for _ in range(ROLLS + 1)]
    last = cohorts[-1]
    before = [worker.order("report").descriptors for worker in last]
    load = Load(stage.setting.listener.getsockname(), seed=7)
    asyncio.run(roll_under_load(load, cohorts))
    assert load.faults == []
    assert set(load.answered) == set(KINDS)
    assert load.connected == CLIENTS * len(KINDS) + load.answered["shutting"] // 3
    until_sync(lambda: sum(worker.order("report").connections for worker in last) == 0)
    after = [worker.order("report").descriptors for worker in last]
    assert after == [open_before + 1 for open_before in before]  # libuv keeps a spare one from its first stream on


def test_what_a_killed_receiver_had_not_adopted_lives_on_with_another(stage: Stage) -> None:
    old, victim, other = stage.fork(), stage.fork(), stage.fork()
    old.order("accept")
    clients = stage.clients(old, 200)
    old.order("connect", victim.incarnation, other.incarnation)
    victim.order("accept")
    other.order("accept")
    victim.order("report")
    until_sync(lambda: old.order("report").connections == 200)
    victim.signal(signal.SIGSTOP)
    old.order("begin")
    until_sync(lambda: old.order("report").adopted == 200 - 32)
    victim.signal(signal.SIGKILL)
    left = old.order("done")
    assert (left.adopted, left.ended) == (200, 0)
    assert other.order("report").connections == 200
    assert all(ask(client) for client in clients)


@pytest.mark.parametrize("after", [0.0, 0.002, 0.005, 0.01, 0.02])
def test_a_receiver_killed_at_any_moment_takes_only_its_own_with_it(stage: Stage, after: float) -> None:
    old, victim, other = stage.fork(), stage.fork(), stage.fork()
    old.order("accept")
    clients = stage.clients(old, 400)
    old.order("connect", victim.incarnation, other.incarnation)
    victim.order("accept")
    other.order("accept")
    old.send("begin")
    signal.sigtimedwait([], after)
    victim.signal(signal.SIGKILL)
    old.answer()
    left = old.order("done")
    assert (left.adopted, left.ended) == (400, 0)
    kept = other.order("report").connections
    assert sum(ask(client) for client in clients) == kept


@pytest.mark.parametrize("after", [0.0, 0.002, 0.005, 0.01, 0.02])
def test_what_a_killed_sender_had_sent_is_adopted(stage: Stage, after: float) -> None:
    old, new = stage.fork(), stage.fork()
    old.order("accept")
    clients = stage.clients(old, 400)
    old.order("connect", new.incarnation)
    new.order("accept")
    old.send("begin")
    signal.sigtimedwait([], after)
    old.signal(signal.SIGKILL)
    alive = sum(ask(client) for client in clients)
    assert alive == new.order("report").connections


def test_a_sender_that_dies_leaves_what_it_had_sent_to_a_receiver_that_was_stopped(stage: Stage) -> None:
    old, new = stage.fork(), stage.fork()
    old.order("accept")
    clients = stage.clients(old, 100)
    old.order("connect", new.incarnation)
    new.order("accept")
    new.signal(signal.SIGSTOP)
    old.order("begin")
    until_sync(lambda: old.order("report").held == 100)
    old.signal(signal.SIGKILL)
    os.waitid(os.P_PID, old.pid, os.WEXITED | os.WNOWAIT)
    new.signal(signal.SIGCONT)
    assert sum(ask(client) for client in clients) == 32 == new.order("report").connections


def test_descriptors_that_find_no_room_are_declined_and_go_elsewhere(stage: Stage) -> None:
    old, small, other = stage.fork(), stage.fork(nofile=40, room=1000), stage.fork()
    old.order("accept")
    clients = stage.clients(old, 200)
    old.order("connect", small.incarnation, other.incarnation)
    small.order("accept")
    other.order("accept")
    old.order("begin")
    left = old.order("done")
    assert (left.adopted, left.ended) == (200, 0)
    declined, taken = small.order("report"), other.order("report")
    assert declined.bare > 0
    assert declined.connections + taken.connections == 200
    assert all(ask(client) for client in clients)


def test_a_receiver_takes_no_more_than_it_has_descriptors_for(stage: Stage) -> None:
    old, small = stage.fork(), stage.fork(nofile=60)
    old.order("accept")
    clients = stage.clients(old, 100)
    old.order("connect", small.incarnation)
    small.order("accept")
    old.send("begin")
    old.answer()
    until_sync(lambda: small.order("report").connections > 20)
    for client in clients[:70]:
        client.close()
    left = old.order("done")
    full = small.order("report")
    assert (left.held, left.ended, full.bare) == (0, 0, 0)
    assert all(ask(client) for client in clients[70:])


def hold_up_and_free(stage: Stage, old: Worker, new: Worker, *hindrance: str) -> None:
    """A hundred connections wait at the sender for as long as it is hindered, and then all arrive."""
    old.order("accept")
    clients = stage.clients(old, 100)
    old.order("connect", new.incarnation)
    new.order("accept")
    for order in hindrance:
        old.order(order)
    old.order("begin")
    until_sync(lambda: old.order("report").held == 100)
    assert new.order("report").connections == 0
    old.order("free")
    left = old.order("done")
    assert (left.adopted, left.ended) == (100, 0)
    assert all(ask(client) for client in clients)


def test_a_sender_without_descriptors_goes_on_as_soon_as_it_has_one(stage: Stage) -> None:
    hold_up_and_free(stage, stage.fork(nofile=200), stage.fork(), "deafen", "exhaust")


def test_too_many_descriptors_under_way_are_waited_for(stage: Stage) -> None:
    """ETOOMANYREFS: the kernel bounds what a user without privilege has in flight by its RLIMIT_NOFILE."""
    uid = NOBODY if os.geteuid() == 0 else 0
    hold_up_and_free(stage, stage.fork(nofile=200, uid=uid), stage.fork(uid=uid), "fill")


def test_a_thousand_idle_connections_move_in_well_under_a_second(stage: Stage) -> None:
    """A thousand, or as many as a process may hold."""
    count = min(1000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200)
    old, new = stage.fork(), stage.fork()
    old.order("accept")
    clients = stage.clients(old, count)
    old.order("connect", new.incarnation)
    begun = [worker.order("report").cpu for worker in (old, new)]
    new.order("accept")
    old.order("begin")
    old.order("done")
    spent = [worker.order("report").cpu - before for worker, before in zip((old, new), begun, strict=True)]
    assert max(spent) < 0.0005 * count, spent
    assert all(ask(client) for client in clients)
