"""Listening sockets: bound once, or refused naming who is in the way."""

import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from changeover.supervisor.process.address import FdAddress, TcpAddress, UnixAddress
from changeover.supervisor.process.listeners import AddressInUse, CannotListen, Listeners
from tests.ports import unused_port

Bind = Callable[..., Listeners]


@pytest.fixture
def bind() -> Iterator[Bind]:
    made: list[Listeners] = []

    def bind_and_remember(*addresses: TcpAddress | UnixAddress | FdAddress, backlog: int = 16) -> Listeners:
        made.append(Listeners.bind(addresses, backlog))
        return made[-1]

    yield bind_and_remember
    for listeners in made:
        listeners.close()


def connect(shown: str, host: str | None = None) -> socket.socket:
    if shown.startswith("unix:"):
        client = socket.socket(socket.AF_UNIX)
        try:
            client.connect(shown.removeprefix("unix:"))
        except OSError:
            client.close()
            raise
        return client
    name, _, port = shown.rpartition(":")
    return socket.create_connection((host or name.strip("[]"), int(port)), timeout=5)


def test_port_0_shows_the_port_that_the_kernel_chose(bind: Bind) -> None:
    [listener] = bind(TcpAddress("127.0.0.1", 0)).bound
    assert listener.shown == f"127.0.0.1:{listener.sock.getsockname()[1]}"
    with connect(listener.shown):
        listener.sock.accept()[0].close()


def test_the_ipv6_wildcard_takes_ipv4_too(bind: Bind) -> None:
    [listener] = bind(TcpAddress("::", 0)).bound
    connect(listener.shown, "127.0.0.1").close()
    connect(listener.shown, "::1").close()


def test_the_ipv6_wildcard_leaves_ipv4_alone_when_ipv4_is_asked_for_by_itself(bind: Bind) -> None:
    port = unused_port()
    assert len(bind(TcpAddress("::", port), TcpAddress("0.0.0.0", port)).bound) == 2


def test_a_star_is_every_address(bind: Bind) -> None:
    [listener] = bind(TcpAddress("*", 0)).bound
    connect(listener.shown, "127.0.0.1").close()
    connect(listener.shown, "::1").close()


def test_a_host_name_binds_all_its_addresses_on_one_port(bind: Bind) -> None:
    listeners = bind(TcpAddress("localhost", 0))
    assert len({listener.sock.getsockname()[1] for listener in listeners.bound}) == 1
    assert {info[4][0] for info in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)} == {
        listener.sock.getsockname()[0] for listener in listeners.bound
    }


@pytest.mark.parametrize("host", ["no.such.host.invalid", "shop..example", ".example", 64 * "x" + ".example"])
def test_a_name_that_does_not_resolve_is_refused(host: str) -> None:
    with pytest.raises(CannotListen, match="write a name that this host resolves"):
        Listeners.bind([TcpAddress(host, 0)])


def test_a_unix_socket_has_the_mode_asked_for_whatever_the_umask(bind: Bind, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        bind(UnixAddress(str(tmp_path / "shop.sock"), 0o660))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "shop.sock").stat().st_mode) == 0o660


def test_a_socket_file_that_nobody_listens_on_is_replaced(bind: Bind, tmp_path: Path) -> None:
    path = tmp_path / "shop.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    [listener] = bind(UnixAddress(str(path))).bound
    connect(listener.shown).close()


def test_a_unix_socket_in_a_folder_that_is_missing_names_the_folder_and_how_to_make_it(
    bind: Bind, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(CannotListen, match=f"there is no folder {folder}: make it [(]mkdir -p {folder}[)]"):
        bind(UnixAddress(str(folder / "web.sock")))


def test_a_living_unix_socket_is_refused_naming_its_holder(bind: Bind, tmp_path: Path) -> None:
    path = tmp_path / "shop.sock"
    bind(UnixAddress(str(path)))
    with pytest.raises(AddressInUse, match=f"pid {os.getpid()} ") as refused:
        bind(UnixAddress(str(path)))
    assert [holder.pid for holder in refused.value.holders] == [os.getpid()]
    connect(f"unix:{path}").close()


def test_a_file_that_is_no_socket_is_left_alone(bind: Bind, tmp_path: Path) -> None:
    path = tmp_path / "shop.sock"
    path.write_text("precious")
    with pytest.raises(CannotListen, match="is no socket"):
        bind(UnixAddress(str(path)))
    assert path.read_text() == "precious"


def test_a_path_too_long_for_the_kernel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotListen, match="107 bytes"):
        Listeners.bind([UnixAddress(str(tmp_path / ("x" * 108)))])


def test_closing_removes_only_a_socket_file_that_is_still_ours(bind: Bind, tmp_path: Path) -> None:
    path = tmp_path / "shop.sock"
    first = bind(UnixAddress(str(path)))
    path.unlink()
    bind(UnixAddress(str(path)))
    first.close()
    connect(f"unix:{path}").close()


def test_a_taken_port_is_refused_naming_its_holder(bind: Bind) -> None:
    [listener] = bind(TcpAddress("127.0.0.1", 0)).bound
    port = listener.sock.getsockname()[1]
    with pytest.raises(AddressInUse, match=rf"cannot listen on 127.0.0.1:{port}: in use, held by pid {os.getpid()} "):
        bind(TcpAddress("127.0.0.1", port))


def test_when_one_address_fails_none_stays_bound(tmp_path: Path) -> None:
    path = tmp_path / "shop.sock"
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = TcpAddress("127.0.0.1", other.getsockname()[1])
        with pytest.raises(AddressInUse):
            Listeners.bind([UnixAddress(str(path)), taken])
    assert not path.exists()


def test_a_descriptor_is_adopted_and_stays_open_for_its_owner(bind: Bind) -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        listeners = bind(FdAddress(given.fileno()))
        assert listeners.bound[0].shown == f"127.0.0.1:{given.getsockname()[1]}"
        listeners.close()
        assert given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def test_a_descriptor_that_does_not_listen_is_refused(bind: Bind) -> None:
    with socket.socket() as idle, pytest.raises(CannotListen, match="does not listen"):
        bind(FdAddress(idle.fileno()))
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams, pytest.raises(CannotListen, match="no TCP or unix stream"):
        bind(FdAddress(datagrams.fileno()))
    with open(os.devnull) as file, pytest.raises(CannotListen, match="no open socket"):
        bind(FdAddress(file.fileno()))
    with pytest.raises(CannotListen, match="no open socket"):
        bind(FdAddress(999_999))


def test_a_worker_is_told_the_descriptor_that_the_zygote_inherits(bind: Bind) -> None:
    listeners = bind(TcpAddress("127.0.0.1", 0), TcpAddress("127.0.0.1", 0))
    descriptors = [listener.sock.fileno() for listener in listeners.bound]
    assert [listener.fd for listener in listeners.for_workers()] == descriptors
    assert not any(os.get_inheritable(fd) for fd in descriptors)


def test_a_port_can_be_bound_again_right_after_it_served(bind: Bind) -> None:
    port = unused_port()
    [listener] = bind(TcpAddress("127.0.0.1", port)).bound
    client = connect(listener.shown)
    listener.sock.accept()[0].close()
    listener.close()
    client.close()
    bind(TcpAddress("127.0.0.1", port))


def test_a_port_that_is_ended_is_listened_on_in_no_process_that_shares_it(bind: Bind) -> None:
    [listener] = bind(TcpAddress("127.0.0.1", 0)).bound
    with listener.sock.dup() as shared:
        shown = listener.shown
        listener.end()
        with pytest.raises(ConnectionRefusedError):
            connect(shown)
        with pytest.raises(OSError, match="Invalid argument"):
            shared.accept()


def test_a_unix_socket_that_is_ended_is_found_by_nobody_and_what_is_queued_is_still_taken(
    bind: Bind, tmp_path: Path
) -> None:
    [listener] = bind(UnixAddress(str(tmp_path / "web.sock"))).bound
    with listener.sock.dup() as shared, connect(listener.shown):
        shown = listener.shown
        listener.end()
        with pytest.raises(FileNotFoundError):
            connect(shown)
        shared.accept()[0].close()


def test_a_socket_that_was_lent_to_us_listens_on_when_we_let_go_of_it(bind: Bind) -> None:
    with socket.create_server(("127.0.0.1", 0)) as lent:
        [listener] = bind(FdAddress(lent.fileno())).bound
        listener.end()
        connect(listener.shown).close()


def test_ipv6_leaves_ipv4_to_what_is_listened_on_already(bind: Bind) -> None:
    port = unused_port()
    bind(TcpAddress("0.0.0.0", port))
    beside = Listeners.bind([TcpAddress("::", port)], 16, beside=[TcpAddress("0.0.0.0", port)])
    assert beside.bound[0].sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
    beside.close()
