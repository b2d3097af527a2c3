"""A link is heard to its end, also when the other end was closed with packets unread."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from changeover.workers.handover.link import Link
from changeover.workers.link.credentials import peer_is_us

Ends = tuple[Link, socket.socket]


@pytest.fixture
async def ends() -> Iterator[Ends]:  # type: ignore[misc]
    ours, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link = Link(asyncio.get_running_loop(), ours, 0, lambda: None)
    yield link, peer
    link.close()
    peer.close()


async def test_what_was_sent_before_a_reset_is_heard_after_it(ends: Ends) -> None:
    link, peer = ends
    link.send(b"never read")
    peer.send(b"adopted")
    peer.close()
    assert [packet.data for packet in link.take(10)] == [b"adopted", b""]


async def test_nothing_is_taken_beyond_what_is_asked_for(ends: Ends) -> None:
    link, peer = ends
    for number in range(5):
        peer.send(b"%d" % number)
    assert [packet.data for packet in link.take(2)] == [b"0", b"1"]
    assert [packet.data for packet in link.take(9)] == [b"2", b"3", b"4"]
    assert list(link.take(9)) == []


async def test_a_link_that_was_closed_gives_nothing_and_may_be_closed_again(ends: Ends) -> None:
    link, peer = ends
    peer.send(b"one")
    taken = link.take(9)
    assert next(taken).data == b"one"
    link.close()
    assert list(taken) == []
    link.close()


async def test_the_peer_s_user_is_known(ends: Ends) -> None:
    _, peer = ends
    assert peer_is_us(peer)
