"""What a worker makes of senders that break the rules: nothing leaks, and nothing of theirs is closed."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from changeover.workers.channel.luggage import Luggage
from changeover.workers.handover.messages import (
    HANDOVER_VERSION,
    MAX_PACKET,
    STATE_VERSION,
    Adopted,
    Credit,
    Declined,
    Fault,
    FromReceiver,
    FromSender,
    Introduction,
    Offer,
    Offered,
    State,
    StateRefused,
    Welcomed,
    decode_from_receiver,
    encode,
)
from changeover.workers.handover.sealed import seal
from changeover.workers.link import endpoints
from changeover.workers.link.packets import send_packet
from changeover.workers.protocol.epoch import Stamp
from tests.handover import JOURNAL, Side, descriptors, worker_id
from tests.waits import DEADLINE, until
from tests.wire import FakeDispatcher, connections_of, echo, get

STAMP = Stamp(JOURNAL, 1, 1)
INTRODUCTION = Introduction(HANDOVER_VERSION, worker_id(9), STAMP)


def offer(*ids: int, unread: bytes = b"") -> Offer:
    luggage = Luggage(unread, 0, "NEW", 0.0, client_shut=False)
    return Offer(STAMP, tuple(Offered(id, "127.0.0.1:80", luggage) for id in ids))


class Sender:
    """A sender that says exactly what it is told to, and a connection to offer."""

    def __init__(self, path: Path) -> None:
        self.link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.link.connect(os.fspath(path))
        self.link.setblocking(False)
        self.client, self.served = socket.socketpair()
        for end in (self.client, self.served):
            end.setblocking(False)

    def say(self, message: FromSender | bytes, fds: Sequence[int] = ()) -> None:
        send_packet(self.link, message if isinstance(message, bytes) else encode(message), fds)

    def offer(self, message: Offer) -> None:
        self.say(message, [self.served.fileno()])

    async def hear(self) -> FromReceiver | None:
        """The next message; None at the end."""
        loop = asyncio.get_running_loop()
        try:
            packet = await asyncio.wait_for(loop.sock_recv(self.link, MAX_PACKET), DEADLINE)
        except ConnectionResetError:
            return await self.hear()
        return decode_from_receiver(packet) if packet else None

    async def introduce(self) -> None:
        self.say(INTRODUCTION)
        assert [await self.hear(), type(await self.hear())] == [Welcomed(STATE_VERSION), Credit]

    def lives(self) -> bool:
        """Whether the connection is as it was."""
        try:
            return self.client.recv(1) != b""
        except BlockingIOError:
            return True

    def close(self) -> None:
        for each in (self.link, self.client, self.served):
            each.close()


@pytest.fixture
async def side(tmp_path: Path) -> AsyncIterator[Side]:
    dispatcher = FakeDispatcher(echo)
    side = Side(tmp_path, 1, dispatcher, connections_of(dispatcher))
    first, gone = socket.socketpair()
    side.connections.accept(first, "")  # libuv opens a descriptor of its own with its first stream
    gone.close()
    await until(lambda: not len(side.connections))
    side.room = 2
    side.reception.start()
    yield side
    side.close()
    for connection in side.connections:
        connection.abort()
    await until(lambda: not len(side.connections))


@pytest.fixture
async def sender(side: Side, tmp_path: Path) -> AsyncIterator[Sender]:
    before = descriptors()
    sender = Sender(endpoints.handover(tmp_path, side.worker))
    yield sender
    assert sender.lives()
    sender.close()
    for connection in side.connections:
        connection.abort()
    await until(lambda: descriptors() == before, f"{before} descriptors")


async def test_an_offer_is_adopted_and_served(side: Side, sender: Sender) -> None:
    await sender.introduce()
    sender.offer(offer(7, unread=get("/there")))
    assert await sender.hear() == Adopted((7,))
    loop = asyncio.get_running_loop()
    assert (await asyncio.wait_for(loop.sock_recv(sender.client, 4096), DEADLINE)).endswith(b"GET /there ")


async def test_what_exceeds_the_credit_is_declined(side: Side, sender: Sender) -> None:
    await sender.introduce()
    side.room = 0
    for id in range(3):
        sender.offer(offer(id))
    assert [await sender.hear(), await sender.hear()] == [Adopted((0, 1)), Declined(2, Fault.OVERDRAWN)]
    assert len(side.connections) == 2


async def test_an_offer_without_a_descriptor_is_declined(side: Side, sender: Sender) -> None:
    await sender.introduce()
    sender.say(offer(7))
    assert await sender.hear() == Declined(7, Fault.BARE)


@pytest.mark.parametrize("fds", [0, 2])
async def test_state_without_its_descriptor_is_refused(side: Side, sender: Sender, fds: int) -> None:
    await sender.introduce()
    sender.say(State(3, "pricing", "1.0", "", 0, 1), [sender.served.fileno()] * fds)
    answer = await sender.hear()
    assert isinstance(answer, StateRefused)
    assert (answer.id, answer.refusal.unit) == (3, "plugin pricing")
    assert f"came with {fds} descriptors" in answer.refusal.summary
    assert answer.refusal.fault.transient
    assert side.taken == []


async def test_state_that_is_not_what_it_is_said_to_be_is_refused(side: Side, sender: Sender) -> None:
    await sender.introduce()
    sender.say(State(3, "pricing", "1.0", "", 0, 1), [sender.served.fileno()])
    answer = await sender.hear()
    assert isinstance(answer, StateRefused)
    assert "no memory file" in answer.refusal.summary
    assert side.taken == []


async def test_a_stranger_s_state_is_taken_by_nobody_and_it_is_cut_off(side: Side, sender: Sender) -> None:
    fd = seal("state", b"x")
    sender.say(State(3, "pricing", "1.0", "", 0, 1), [fd])
    os.close(fd)
    assert await sender.hear() is None
    assert side.taken == []


async def test_a_descriptor_that_is_no_socket_is_declined(side: Side, sender: Sender) -> None:
    await sender.introduce()
    sender.say(offer(7), [0])
    assert await sender.hear() == Declined(7, Fault.BARE)


async def test_of_connections_in_one_packet_those_are_adopted_whose_descriptors_arrived(
    side: Side, sender: Sender
) -> None:
    await sender.introduce()
    sender.say(offer(7, 8), [sender.served.fileno()])
    assert [await sender.hear(), await sender.hear()] == [Adopted((7,)), Declined(8, Fault.BARE)]
    assert len(side.connections) == 1


async def test_a_descriptor_that_is_no_socket_costs_its_neighbours_nothing(side: Side, sender: Sender) -> None:
    await sender.introduce()
    sender.say(offer(7, 8), [0, sender.served.fileno()])
    assert [await sender.hear(), await sender.hear()] == [Adopted((8,)), Declined(7, Fault.BARE)]


async def test_an_offer_with_a_descriptor_too_many_is_declined(side: Side, sender: Sender) -> None:
    await sender.introduce()
    sender.say(offer(7), [sender.served.fileno()] * 2)
    assert await sender.hear() == Declined(7, Fault.BARE)


async def test_an_offer_before_the_introduction_ends_the_link(side: Side, sender: Sender) -> None:
    sender.offer(offer(7))
    assert await sender.hear() is None
    assert len(side.connections) == 0


@pytest.mark.parametrize("nonsense", [b"nonsense", b"\xc0", b"x" * (MAX_PACKET + 1)])
async def test_nonsense_ends_the_link_and_is_counted(side: Side, sender: Sender, nonsense: bytes) -> None:
    await sender.introduce()
    sender.say(nonsense, [sender.served.fileno()])
    sender.offer(offer(7))
    assert await sender.hear() is None
    assert (side.reception.malformed, len(side.connections)) == (1, 0)


async def test_a_second_introduction_ends_the_link(side: Side, sender: Sender) -> None:
    await sender.introduce()
    sender.say(INTRODUCTION)
    assert await sender.hear() is None


async def test_a_sender_of_another_user_is_cut_off(side: Side, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("changeover.workers.handover.reception.peer_is_us", lambda *_: False)
    sender = Sender(endpoints.handover(tmp_path, side.worker))
    assert await sender.hear() is None
    assert side.reception.strangers == 1
    sender.close()
