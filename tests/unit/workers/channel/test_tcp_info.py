"""What the kernel tells of a TCP connection is read where it stands in the kernel's own table."""

import socket

from changeover.workers.channel.tcp_info import tcp_info


def test_the_bytes_that_the_other_side_has_confirmed_are_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as here:
        there, _ = listener.accept()
        with there:
            here.sendall(b"x" * 1000)
            there.recv(1000, socket.MSG_WAITALL)
            there.sendall(b"an answer, which confirms what came")
            here.recv(1)
            told = tcp_info(here)
    assert told is not None
    assert told.acknowledged in {1000, 1001}  # some kernels count the opening, too
    assert 0 < told.lately < 1_000_000


def test_nothing_is_told_of_what_is_closed_or_no_tcp() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert tcp_info(ours) is None
    assert tcp_info(ours) is None
