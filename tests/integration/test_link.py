"""The wire over real sockets: what is no message is counted, and otherwise without effect."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import zmq

from changeover.supervisor.link.workers import Discarded, WorkersLink
from changeover.workers.link import endpoints
from changeover.workers.link.worker import WorkerLink
from changeover.workers.protocol import codec
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import (
    PROTOCOL_VERSION,
    Beat,
    Commit,
    Hello,
    Phase,
    Pulse,
    SupervisorMessage,
    WorkerMessage,
)
from tests.waits import until

STAMP = Stamp("journal", 1, 0)
ONE = WorkerId(1, 0, 1)
SEVENTEEN = WorkerId(1, 0, 17)


class Supervisor:
    """The supervisor's end, remembering what it heard."""

    def __init__(self, runtime: Path) -> None:
        self.subscribed: list[WorkerId] = []
        self.heard: list[WorkerMessage] = []
        self.link = WorkersLink(asyncio.get_running_loop(), runtime, self.subscribed.append, self.heard.append)
        self.link.open()


class Worker:
    """A worker's end, remembering what it heard."""

    def __init__(self, runtime: Path, worker: WorkerId) -> None:
        self.heard: list[SupervisorMessage] = []
        self.ups = 0
        self.link = WorkerLink(asyncio.get_running_loop(), runtime, worker, self.heard.append, self._up)

    def _up(self) -> None:
        self.ups += 1


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    end = Supervisor(tmp_path)
    yield end
    end.link.close()


class Strangers:
    """Bare ZeroMQ sockets, closed at the end of the test."""

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: list[zmq.Socket[bytes]] = []

    def socket(self, kind: int) -> "zmq.Socket[bytes]":
        self._sockets.append(self._context.socket(kind))
        return self._sockets[-1]

    def close(self) -> None:
        for socket in self._sockets:
            socket.close(linger=0)
        self._context.term()


@pytest.fixture
def raw() -> Iterator[Strangers]:
    strangers = Strangers()
    yield strangers
    strangers.close()


async def test_a_subscription_to_the_own_topic_tells_the_supervisor_who_listens(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    worker = Worker(tmp_path, ONE)
    await until(lambda: supervisor.subscribed == [ONE])
    supervisor.link.tell(ONE, Pulse(STAMP, 4, Phase.IDLE))
    supervisor.link.broadcast(Commit(STAMP, 5))
    await until(lambda: len(worker.heard) == 2)
    assert worker.heard == [Pulse(STAMP, 4, Phase.IDLE), Commit(STAMP, 5)]
    worker.link.close()


async def test_what_is_told_to_one_worker_reaches_no_other(supervisor: Supervisor, tmp_path: Path) -> None:
    one, seventeen = Worker(tmp_path, ONE), Worker(tmp_path, SEVENTEEN)
    await until(lambda: len(supervisor.subscribed) == 2)
    supervisor.link.tell(SEVENTEEN, Commit(STAMP, 1))
    supervisor.link.broadcast(Commit(STAMP, 2))
    await until(lambda: one.heard and len(seventeen.heard) == 2)
    assert one.heard == [Commit(STAMP, 2)]
    one.link.close()
    seventeen.link.close()


async def test_a_worker_that_came_first_finds_the_supervisor_that_came_after(tmp_path: Path) -> None:
    worker = Worker(tmp_path, ONE)
    assert not worker.link.send(Beat(STAMP, ONE, 0))
    supervisor = Supervisor(tmp_path)
    await until(lambda: supervisor.subscribed == [ONE] and worker.ups)
    assert worker.link.send(Beat(STAMP, ONE, 1))
    await until(lambda: supervisor.heard == [Beat(STAMP, ONE, 1)])
    worker.link.close()
    supervisor.link.close()


async def test_malformed_unknown_and_foreign_frames_are_counted_and_heard_by_nobody(
    supervisor: Supervisor, tmp_path: Path, raw: Strangers
) -> None:
    stranger = raw.socket(zmq.DEALER)
    stranger.setsockopt(zmq.ROUTING_ID, ONE.routing())
    stranger.connect(endpoints.reports(tmp_path))
    hello = codec.encode(Hello(STAMP, ONE, PROTOCOL_VERSION, "nonce", 1))
    for frame in (b"", b"\xc1", b"not msgpack at all", hello[:-1], hello + b"\0", codec.encode(Commit(STAMP, 1))):
        stranger.send(frame)
    stranger.send_multipart([hello, b"one frame too many"])
    stranger.send(codec.encode(Beat(STAMP, SEVENTEEN, 0)))
    stranger.send(hello)
    await until(lambda: supervisor.heard)
    assert supervisor.heard == [Hello(STAMP, ONE, PROTOCOL_VERSION, "nonce", 1)]
    assert supervisor.link.discarded == {Discarded.MALFORMED: 7, Discarded.FOREIGN_SENDER: 1}


async def test_an_oversized_frame_costs_its_sender_the_connection_and_nobody_else_anything(
    supervisor: Supervisor, tmp_path: Path, raw: Strangers
) -> None:
    worker = Worker(tmp_path, ONE)
    await until(lambda: worker.ups)
    stranger = raw.socket(zmq.DEALER)
    stranger.connect(endpoints.reports(tmp_path))
    stranger.send(bytes(codec.MAX_FRAME + 1))
    await until(lambda: supervisor.link.discarded[Discarded.CUT])
    assert worker.link.send(Beat(STAMP, ONE, 3))
    await until(lambda: supervisor.heard == [Beat(STAMP, ONE, 3)])
    worker.link.close()


async def test_strange_subscriptions_are_counted(supervisor: Supervisor, tmp_path: Path, raw: Strangers) -> None:
    stranger = raw.socket(zmq.SUB)
    for topic in (b"@nobody;", b"@1.2;", b"", b"@1.2.3"):
        stranger.setsockopt(zmq.SUBSCRIBE, topic)
    stranger.connect(endpoints.snapshots(tmp_path))
    await until(lambda: supervisor.link.discarded[Discarded.NO_TOPIC] == 4)
    assert supervisor.subscribed == []


async def test_a_worker_counts_what_its_supervisor_should_not_have_said(tmp_path: Path, raw: Strangers) -> None:
    publisher = raw.socket(zmq.XPUB)
    publisher.bind(endpoints.snapshots(tmp_path))
    worker = Worker(tmp_path, ONE)
    await until(lambda: publisher.poll(0))
    everyone = endpoints.EVERYONE
    frames = [[everyone], [everyone, b"\xc1"], [everyone + b"x", b""], [everyone, codec.encode(Beat(STAMP, ONE, 1))]]
    for each in [*frames, [everyone, codec.encode(Commit(STAMP, 9))]]:
        publisher.send_multipart(each)
    await until(lambda: worker.heard)
    assert worker.heard == [Commit(STAMP, 9)]
    assert worker.link.malformed == 4
    worker.link.close()


async def test_a_flood_never_starves_the_loop(supervisor: Supervisor, tmp_path: Path) -> None:
    worker = Worker(tmp_path, ONE)
    await until(lambda: supervisor.subscribed == [ONE])
    for seq in range(900):
        supervisor.link.broadcast(Commit(STAMP, seq))
    await until(lambda: len(worker.heard) == 900)
    assert [message.seq for message in worker.heard] == list(range(900))
    worker.link.close()
