"""A channel to a peer that may be slow, gone or silent."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator

import pytest

from changeover.supervisor.process.packet_channel import MOST_WAITING, PacketChannel
from changeover.workers.link.packets import Packet, receive_packet
from tests.waits import until


class Ends:
    """A channel, its peer, and what the channel told."""

    def __init__(self) -> None:
        ours, self.peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self.peer.setblocking(False)
        self.taken: list[Packet] = []
        self.ended = 0
        self.channel = PacketChannel(asyncio.get_running_loop(), ours, 4096, 2, self.taken.append, self._end)

    def _end(self) -> None:
        self.ended += 1


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    ends = Ends()
    yield ends
    ends.channel.close()
    ends.peer.close()


async def test_what_arrives_is_told_in_order(ends: Ends) -> None:
    for text in (b"one", b"two", b"three"):
        ends.peer.send(text)
    await until(lambda: len(ends.taken) == 3)
    assert [packet.data for packet in ends.taken] == [b"one", b"two", b"three"]


async def test_what_finds_no_room_waits_and_keeps_its_order(ends: Ends) -> None:
    for number in range(500):
        ends.channel.send(b"%d" % number + b" " * 2000)
    heard: list[int] = []

    def hear() -> bool:
        try:
            heard.append(int(ends.peer.recv(4096)))
        except BlockingIOError:
            return False
        return len(heard) == 500

    await until(hear)
    assert heard == list(range(500))
    assert ends.ended == 0


async def test_a_peer_that_never_reads_ends_the_channel(ends: Ends) -> None:
    for _ in range(MOST_WAITING + 1000):
        ends.channel.send(b" " * 4000)
    assert ends.ended == 1


async def test_the_end_is_told_once_and_sending_afterwards_is_without_effect(ends: Ends) -> None:
    ends.peer.send(b"last words")
    ends.peer.close()
    await until(lambda: ends.ended)
    ends.channel.send(b"anybody there?")
    ends.channel.drain()
    assert ([packet.data for packet in ends.taken], ends.ended) == ([b"last words"], 1)


async def test_descriptors_go_with_their_packet_and_are_kept_by_nobody_else(ends: Ends) -> None:
    reading, writing = os.pipe()
    ends.channel.send(b"yours", (writing,))
    packet = receive_packet(ends.peer, 4096, 1)
    assert (packet.data, len(packet.fds)) == (b"yours", 1)
    packet.close_fds()
    assert os.read(reading, 1) == b"", "nobody holds the other end any more"
    os.close(reading)


@pytest.mark.parametrize("waits", [True, False])
async def test_descriptors_that_cannot_be_sent_any_more_are_closed(ends: Ends, waits: bool) -> None:
    reading, writing = os.pipe()
    if waits:
        for _ in range(500):
            ends.channel.send(b" " * 4000)
        ends.channel.send(b"yours", (writing,))
    ends.channel.close()
    if not waits:
        ends.channel.send(b"yours", (writing,))
    assert os.read(reading, 1) == b""
    os.close(reading)
