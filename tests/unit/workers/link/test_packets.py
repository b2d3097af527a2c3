"""Packets and the descriptors beside them."""

import os
import resource
import socket
from collections.abc import Iterator

import pytest

from changeover.workers.link.packets import Packet, receive_packet, send_packet

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setblocking(False)
    yield ends
    for end in ends:
        end.close()


def test_packets_keep_their_bounds_and_their_order(pair: Pair) -> None:
    send_packet(pair[0], b"one")
    send_packet(pair[0], b"two")
    assert receive_packet(pair[1], 100) == Packet(b"one")
    assert receive_packet(pair[1], 100) == Packet(b"two")
    with pytest.raises(BlockingIOError):
        receive_packet(pair[1], 100)


def test_descriptors_arrive_close_on_exec_and_name_the_same_file(pair: Pair) -> None:
    file = os.memfd_create("file")
    send_packet(pair[0], b"take", (file, file))
    packet = receive_packet(pair[1], 100, 2)
    assert not packet.cut
    for fd in packet.fds:
        assert not os.get_inheritable(fd)
        assert os.path.sameopenfile(fd, file)
    packet.close_fds()
    os.close(file)


def test_descriptors_that_find_no_free_number_are_reported_as_cut(pair: Pair) -> None:
    file = os.memfd_create("file")
    send_packet(pair[0], b"take", (file, file))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, hard))
    try:
        packet = receive_packet(pair[1], 100, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (packet.data, len(packet.fds), packet.cut) == (b"take", 1, True)
    packet.close_fds()
    os.close(file)


def test_descriptors_nobody_asked_for_do_not_leak(pair: Pair) -> None:
    before = os.listdir("/proc/self/fd")
    file = os.memfd_create("file")
    send_packet(pair[0], b"take", (file,))
    packet = receive_packet(pair[1], 100)
    os.close(file)
    assert (packet.data, packet.fds, packet.cut) == (b"take", (), True)
    assert os.listdir("/proc/self/fd") == before


def test_a_packet_that_is_too_long_is_reported_as_cut(pair: Pair) -> None:
    send_packet(pair[0], b"0123456789")
    assert receive_packet(pair[1], 4) == Packet(b"0123", cut=True)


def test_the_end_of_the_stream_is_an_empty_packet(pair: Pair) -> None:
    pair[0].close()
    assert receive_packet(pair[1], 100) == Packet(b"")
