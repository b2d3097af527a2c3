"""Ending arrivals: who is connected is served, who comes later is refused, and nobody is reset."""

import errno
import select
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from changeover.supervisor.process import arrivals
from changeover.supervisor.process.address import TcpAddress, UnixAddress
from changeover.supervisor.process.arrivals import ArrivalsEnded, Protection, end_all_arrivals, end_arrivals, queued
from changeover.supervisor.process.listeners import BoundListener, Listeners
from changeover.workers.link import hops
from changeover.workers.link.hops import ANY, demand_hops
from tests.waits import until

HOSTS = ("127.0.0.1", "::1")
NO_SUCH_OPTION = 12345


@pytest.fixture(params=[Protection.FILTERED, Protection.FAR_AWAY], ids=lambda way: str(way.value))
def protection(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Protection:
    """Both ways in which arrivals at a TCP socket are ended, each where the system permits it."""
    way: Protection = request.param
    if way is Protection.FAR_AWAY:
        monkeypatch.setattr(arrivals, "SO_ATTACH_FILTER", NO_SUCH_OPTION)
    elif not filters_are_permitted():
        pytest.skip("this kernel reserves packet filters on TCP sockets to CAP_NET_ADMIN")
    return way


def filters_are_permitted() -> bool:
    listeners = Listeners.bind([TcpAddress("127.0.0.1", 0)])
    ended = end_arrivals(listeners.bound[0])
    listeners.close()
    return ended.protection is Protection.FILTERED


@pytest.fixture
def listener(request: pytest.FixtureRequest) -> Iterator[BoundListener]:
    listeners = Listeners.bind([TcpAddress(request.param, 0)])
    yield listeners.bound[0]
    listeners.close()


def knock(listener: BoundListener) -> socket.socket:
    """Begin to connect, without waiting for the answer."""
    client = socket.socket(listener.sock.family)
    client.setblocking(False)
    assert client.connect_ex(listener.sock.getsockname()) == errno.EINPROGRESS
    return client


def connected(client: socket.socket, within: float) -> bool:
    return (
        bool(select.select([], [client], [], within)[1]) and client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    )


@pytest.mark.parametrize("listener", HOSTS, indirect=True)
def test_who_is_connected_is_accepted_and_served_and_who_comes_later_is_refused(
    listener: BoundListener, protection: Protection
) -> None:
    early = socket.create_connection(listener.sock.getsockname()[:2], timeout=5)
    ended = end_arrivals(listener)
    assert (ended.address, ended.protection) == (listener.shown, protection)
    assert queued(listener) == 1
    late = knock(listener)
    assert not connected(late, 0.1)
    assert queued(listener) == 1
    accepted, _ = listener.sock.accept()
    early.sendall(b"question")
    assert accepted.recv(100) == b"question"
    accepted.sendall(b"answer")
    assert early.recv(100) == b"answer"
    listener.close()
    select.select([], [late], [], 5)
    assert late.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
    accepted.close()
    assert early.recv(100) == b""
    early.close()
    late.close()


def test_without_a_filter_a_late_connection_would_be_reset() -> None:
    listeners = Listeners.bind([TcpAddress("127.0.0.1", 0)])
    late = knock(listeners.bound[0])
    assert connected(late, 5)
    listeners.close()
    late.setblocking(True)
    with pytest.raises(ConnectionResetError):
        late.recv(1)
    late.close()


@pytest.mark.parametrize("listener", HOSTS, indirect=True)
def test_every_holder_of_the_socket_is_covered(listener: BoundListener, protection: Protection) -> None:
    with socket.socket(fileno=socket.dup(listener.sock.fileno())) as shared:
        end_arrivals(listener)
        late = knock(listener)
        assert not connected(late, 0.05)
        with pytest.raises(BlockingIOError):
            shared.accept()
        late.close()


def test_a_unix_socket_is_not_found_any_more_and_keeps_who_is_connected(tmp_path: Path) -> None:
    path = str(tmp_path / "shop.sock")
    [listener] = Listeners.bind([UnixAddress(path)]).bound
    early = socket.socket(socket.AF_UNIX)
    early.connect(path)
    assert end_arrivals(listener).protection is Protection.UNLINKED
    with socket.socket(socket.AF_UNIX) as late:
        assert late.connect_ex(path) == errno.ENOENT
    accepted, _ = listener.sock.accept()
    accepted.sendall(b"answer")
    assert early.recv(100) == b"answer"
    for sock in (early, accepted, listener):
        sock.close()


@pytest.mark.parametrize("listener", HOSTS, indirect=True)
def test_a_connection_whose_handshake_was_under_way_is_heard_once_the_demand_is_lifted(
    listener: BoundListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "SO_ATTACH_FILTER", NO_SUCH_OPTION)
    end_arrivals(listener)
    with socket.socket(listener.sock.family) as client:
        set_time_to_live(client, 255)
        client.connect(listener.sock.getsockname())
        set_time_to_live(client, 64)
        client.sendall(b"question")
        accepted, _ = listener.sock.accept()
        with accepted:
            demand_hops(accepted, ANY)
            accepted.settimeout(5)
            assert accepted.recv(100) == b"question"


def set_time_to_live(sock: socket.socket, hops: int) -> None:
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hops)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)


def test_a_dual_stack_socket_is_covered_for_both_families(protection: Protection) -> None:
    [listener] = Listeners.bind([TcpAddress("*", 0)]).bound
    assert end_arrivals(listener).protection is protection
    port = listener.sock.getsockname()[1]
    for host in HOSTS:
        with pytest.raises(TimeoutError):
            socket.create_connection((host, port), timeout=0.05)
    listener.close()


@pytest.mark.parametrize("listener", ["127.0.0.1"], indirect=True)
def test_a_system_that_permits_nothing_is_told_of(listener: BoundListener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "SO_ATTACH_FILTER", NO_SUCH_OPTION)
    monkeypatch.setattr(hops, "IP_MINTTL", NO_SUCH_OPTION)
    ended = end_arrivals(listener)
    assert ended == ArrivalsEnded(listener.shown, Protection.NONE, "Protocol not available")


def test_a_unix_socket_whose_file_cannot_be_removed_is_told_of_and_closed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    [listener] = Listeners.bind([UnixAddress(str(tmp_path / "web.sock"))]).bound
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        assert end_arrivals(listener) == ArrivalsEnded(listener.shown, Protection.NONE, "Permission denied")
        listener.close()
    assert listener.sock.fileno() == -1


@pytest.mark.parametrize("listener", ["127.0.0.1"], indirect=True)
async def test_handshakes_that_never_end_are_not_waited_for_beyond_the_deadline(
    listener: BoundListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[frozenset[int]] = []

    def never_ends(ports: frozenset[int], _state: str) -> int:
        looked.append(ports)
        return 1

    monkeypatch.setattr(arrivals, "count_tcp", never_ends)
    [ended] = await end_all_arrivals([listener], deadline=0.1)
    assert ended.protection is not Protection.NONE
    assert set(looked) == {frozenset({listener.sock.getsockname()[1]})}


@dataclass
class Crowd:
    """Clients that connect, ask and read as fast as they can until they are refused."""

    target: str | tuple[str, int]
    family: int
    answered: int = 0
    failed: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def come(self, size: int) -> list[threading.Thread]:
        threads = [threading.Thread(target=self._one) for _ in range(size)]
        for thread in threads:
            thread.start()
        return threads

    def _one(self) -> None:
        while True:
            with socket.socket(self.family) as client:
                client.settimeout(10)
                try:
                    client.connect(self.target)
                except OSError:
                    return
                try:
                    client.sendall(b"?")
                    answer = client.recv(10)
                except OSError as error:
                    answer = repr(error).encode()
            with self._lock:
                if answer == b"!":
                    self.answered += 1
                else:
                    self.failed.append(answer.decode() or "closed without an answer")


class Acceptor(threading.Thread):
    """A worker in miniature: accepts and answers; told to leave, it empties the queue and closes."""

    def __init__(self, sock: socket.socket, leave: threading.Event) -> None:
        super().__init__()
        self.sock = sock.dup()
        self.leave = leave

    def run(self) -> None:
        with self.sock:
            while not self.leave.is_set() or select.select([self.sock], [], [], 0)[0]:
                select.select([self.sock], [], [], 0.01)
                self._take()

    def _take(self) -> None:
        try:
            client, _ = self.sock.accept()
        except BlockingIOError:
            return
        with client:
            demand_hops(client, ANY)
            client.settimeout(10)
            client.recv(10)
            client.sendall(b"!")


async def stop_under_load(listeners: Listeners, crowd: Crowd) -> None:
    leave = threading.Event()
    acceptors = [Acceptor(listeners.bound[0].sock, leave) for _ in range(2)]
    for acceptor in acceptors:
        acceptor.start()
    clients = crowd.come(12)
    await until(lambda: crowd.answered > 50)
    await end_all_arrivals(listeners.bound)
    leave.set()
    await until(lambda: not any(acceptor.is_alive() for acceptor in acceptors))
    listeners.close()
    await until(lambda: not any(client.is_alive() for client in clients), "clients are refused")


@pytest.mark.parametrize("host", HOSTS)
async def test_a_stop_under_load_leaves_no_established_connection_without_an_answer(
    host: str, protection: Protection
) -> None:
    listeners = Listeners.bind([TcpAddress(host, 0)])
    sock = listeners.bound[0].sock
    crowd = Crowd(sock.getsockname(), sock.family)
    await stop_under_load(listeners, crowd)
    assert crowd.failed == []


async def test_a_stop_under_load_leaves_no_unix_connection_without_an_answer(tmp_path: Path) -> None:
    path = str(tmp_path / "shop.sock")
    listeners = Listeners.bind([UnixAddress(path)])
    crowd = Crowd(path, socket.AF_UNIX)
    await stop_under_load(listeners, crowd)
    assert crowd.failed == []
