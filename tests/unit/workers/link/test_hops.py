"""A demand on the time to live, and who lifts it."""

import os
import socket

import pytest

from changeover.workers.link.hops import ANY, IMPOSSIBLE, IP_MINTTL, IPV6_MINHOPCOUNT, demand_hops
from changeover.workers.runtime import counts
from changeover.workers.runtime.accept import Acceptor
from tests.waits import until


class Adopted:
    """Takes the place of the worker's connections."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []

    def __len__(self) -> int:
        return len(self.sockets)

    def accept(self, sock: socket.socket, address: str) -> None:
        self.sockets.append(sock)


def demanded(sock: socket.socket) -> list[int]:
    demands = [sock.getsockopt(socket.IPPROTO_IP, IP_MINTTL)]
    if sock.family == socket.AF_INET6:
        demands.append(sock.getsockopt(socket.IPPROTO_IPV6, IPV6_MINHOPCOUNT))
    return demands


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_worker_lifts_the_demand_from_what_it_accepts(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listening, socket.socket(family) as client:
        demand_hops(listening, IMPOSSIBLE)
        if family == socket.AF_INET6:
            client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 255)
        client.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
        client.connect(listening.getsockname())
        adopted = Adopted()
        fd = counts.create()
        page = counts.Counts(fd)
        os.close(fd)
        acceptor = Acceptor({listening.dup(): ""}, adopted, page, 0, 10)  # type: ignore[arg-type]
        acceptor.start()
        await until(lambda: adopted.sockets)
        assert set(demanded(listening)) == {IMPOSSIBLE}
        assert set(demanded(adopted.sockets[0])) == {ANY}
        acceptor.close()
        page.close()
        adopted.sockets[0].close()


def test_a_unix_socket_has_no_hops() -> None:
    ours, theirs = socket.socketpair()
    demand_hops(ours, IMPOSSIBLE)
    theirs.sendall(b"heard")
    assert ours.recv(100) == b"heard"
    ours.close()
    theirs.close()
