"""Sockets that a service manager passed: whose they are, and what they are called."""

import os
import socket
from pathlib import Path

import msgspec
import pytest

from changeover.supervisor.process import passed as passed_sockets
from changeover.supervisor.process.address import FdAddress, PassedAddress, TcpAddress, UnixAddress
from changeover.supervisor.process.listeners import CannotListen, Listeners
from changeover.supervisor.process.passed import NOTHING, Passed, addresses, passed_to, stored_name

OURS = {"LISTEN_PID": "7", "LISTEN_FDS": "2"}


class Handed:
    """Descriptors under chosen names: the numbers are moved to where this process happens to have them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *sockets: tuple[str, socket.socket]) -> None:
        first = max(sock.fileno() for _, sock in sockets) + 50
        self.fds = tuple(os.dup2(sock.fileno(), first + index) for index, (_, sock) in enumerate(sockets))
        monkeypatch.setattr(passed_sockets, "FIRST", first)
        self.passed = Passed(tuple(name for name, _ in sockets))

    def close(self) -> None:
        for fd in self.fds:
            os.close(fd)


@pytest.mark.parametrize(
    ("environment", "passed"),
    [
        ({}, NOTHING),
        (OURS, Passed(("unknown", "unknown"))),
        (OURS | {"LISTEN_FDNAMES": "web:admin"}, Passed(("web", "admin"))),
    ],
)
def test_what_is_passed_to_us_has_names(environment: dict[str, str], passed: Passed) -> None:
    assert passed_to(environment, 7) == passed


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        (
            OURS | {"LISTEN_PID": "6"},
            "are for process 6 and this is process 7; start changeover itself, or with `exec`",
        ),
        ({"LISTEN_FDS": "1"}, "are for nobody"),
        (OURS | {"LISTEN_FDS": "two"}, "LISTEN_FDS=two is no number of sockets"),
        (OURS | {"LISTEN_FDNAMES": "web"}, "1 names for the 2 sockets"),
    ],
)
def test_what_does_not_fit_is_a_problem_in_words(environment: dict[str, str], problem: str) -> None:
    found = passed_to(environment, 7)
    assert found.names == ()
    assert problem in found.problem


def test_a_problem_is_told_to_whoever_asks_for_such_a_socket() -> None:
    broken = Passed(problem="the sockets of LISTEN_FDS are for process 6")
    for address in (PassedAddress("web"), FdAddress(999_999)):
        with pytest.raises(CannotListen, match=f"cannot listen on {address}: .*for process 6"):
            Listeners.bind([address], passed=broken)


def test_sockets_are_found_by_name_and_one_name_may_have_several(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as first,
        socket.create_server(("127.0.0.1", 0)) as other,
        socket.create_server(("127.0.0.1", 0)) as second,
    ):
        handed = Handed(monkeypatch, ("web", first), ("admin", other), ("web", second))
        listeners = Listeners.bind([PassedAddress("web")], passed=handed.passed)
        assert [listener.sock.getsockname() for listener in listeners.bound] == [
            first.getsockname(),
            second.getsockname(),
        ]
        assert not any(listener.is_ours for listener in listeners.bound)
        with pytest.raises(CannotListen, match=r"cannot listen on fd://wbe: .* \(passed: admin, web\)"):
            Listeners.bind([PassedAddress("wbe")], passed=handed.passed)
        listeners.close()
        handed.close()


def test_a_datagram_socket_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        handed = Handed(monkeypatch, ("web", datagrams))
        with pytest.raises(CannotListen, match=r"cannot listen on fd://web: .* no TCP or unix stream socket"):
            Listeners.bind([PassedAddress("web")], passed=handed.passed)
        handed.close()


def test_a_socket_that_we_stored_is_taken_back_instead_of_bound_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stored:
        address = TcpAddress(*stored.getsockname())
        handed = Handed(monkeypatch, (stored_name(str(address)), stored))
        [listener] = Listeners.bind([address], passed=handed.passed).bound
        assert os.fstat(listener.sock.fileno()).st_ino == os.fstat(stored.fileno()).st_ino
        assert listener.is_ours
        listener.close()
        handed.close()


def test_a_stored_unix_socket_is_taken_back_only_where_it_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address = UnixAddress(str(tmp_path / "web.sock"))
    with socket.socket(socket.AF_UNIX) as stored:
        stored.bind(address.path)
        stored.listen()
        handed = Handed(monkeypatch, (stored_name(str(address)), stored))
        [kept] = Listeners.bind([address], passed=handed.passed).bound
        assert os.fstat(kept.sock.fileno()).st_ino == os.fstat(stored.fileno()).st_ino
        kept.close()
        assert not Path(address.path).exists()
        [fresh] = Listeners.bind([address], passed=handed.passed).bound
        assert os.fstat(fresh.sock.fileno()).st_ino != os.fstat(stored.fileno()).st_ino
        fresh.close()
        handed.close()


def test_all_that_is_passed_is_an_address_but_what_comes_from_our_store() -> None:
    names = f"web:{stored_name('127.0.0.1:8000')}:admin"
    assert addresses({"LISTEN_FDS": "3", "LISTEN_FDNAMES": names}) == ("fd://3", "fd://5")
    assert addresses({"LISTEN_FDS": "2"}) == ("fd://3", "fd://4")
    assert addresses({"LISTEN_FDS": "many"}) == addresses({}) == ()


@pytest.mark.parametrize("address", ["127.0.0.1:8000", "[::1]:8000", f"unix:/{'x' * 106}", "*:80"])
def test_a_name_in_the_store_is_one_that_a_manager_accepts(address: str) -> None:
    name = stored_name(address)
    assert name.isprintable()
    assert name.isascii()
    assert ":" not in name
    assert len(name) <= 255
    assert msgspec.structs.replace(NOTHING, names=(name,)).stored() == (name,)


def test_what_was_in_our_store_is_gone_once_we_serve() -> None:
    passed = Passed((stored_name("127.0.0.1:8000"), "web"))
    assert passed.lent.named(stored_name("127.0.0.1:8000")) == ()
    assert passed.lent.named("web") == (4,)
    assert passed.lent.numbers() == passed.numbers() == (4,)
    assert passed.lent.known() == "web"
