"""The way to a service manager: one datagram each, to every kind of address, and nobody waits."""

import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from changeover.supervisor.process.notify import (
    VARIABLES,
    BadNotifySocket,
    Managed,
    NotifySocket,
    take_variables,
)
from tests.service_manager import managing


class Later:
    """Keeps what is to be called later, for the test to call it."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def __call__(self, seconds: float, call: Callable[[], None]) -> None:
        self.waiting.append(call)

    def pass_by(self) -> None:
        due, self.waiting = self.waiting, []
        for call in due:
            call()


@pytest.mark.parametrize("address", ["{folder}/notify", "@changeover-test-{pid}"])
def test_a_notice_is_one_datagram_to_a_path_or_an_abstract_name(tmp_path: Path, address: str) -> None:
    with managing(address.format(folder=tmp_path, pid=os.getpid())) as manager:
        notify = NotifySocket(manager.address, Later())
        notify.send("READY=1\nSTATUS=all is well")
        assert manager.listen().notices[0].lines == ("READY=1", "STATUS=all is well")
        notify.close()


def test_descriptors_go_with_a_notice_and_stay_open_here(tmp_path: Path) -> None:
    with managing(str(tmp_path / "notify")) as manager, socket.create_server(("127.0.0.1", 0)) as listening:
        notify = NotifySocket(manager.address, Later())
        notify.send("FDSTORE=1\nFDNAME=web", (listening.fileno(),))
        [notice] = manager.listen().notices
        [fd] = notice.descriptors
        assert os.fstat(fd).st_ino == os.fstat(listening.fileno()).st_ino
        assert notice.lines == ("FDSTORE=1", "FDNAME=web")
        notify.close()


def test_a_manager_that_is_busy_gets_everything_later_and_in_order(tmp_path: Path) -> None:
    later = Later()
    with managing(str(tmp_path / "notify")) as manager:
        notify = NotifySocket(manager.address, later)
        sent = 0
        while not later.waiting:
            sent += 1
            notify.send(f"STATUS={sent}")
        assert notify.is_behind
        notify.send("READY=1")
        manager.listen()
        later.pass_by()
        assert later.waiting == []
        assert [notice.lines[0] for notice in manager.listen().notices] == [
            *(f"STATUS={number + 1}" for number in range(sent)),
            "READY=1",
        ]
        notify.close()


def test_a_manager_that_is_gone_is_complained_of_once_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    notify = NotifySocket(str(tmp_path / "gone"), Later())
    with caplog.at_level(logging.WARNING, "changeover"):
        notify.send("READY=1")
        notify.send("STOPPING=1")
    assert [record.message for record in caplog.records] == [
        "the service manager cannot be told how we are: No such file or directory"
    ]
    notify.close()


@pytest.mark.parametrize("address", ["notify", "vsock:2:1234", "@", "/"])
def test_what_is_no_address_is_refused_with_what_to_do(address: str) -> None:
    with pytest.raises(BadNotifySocket, match=f"NOTIFY_SOCKET={address} is no address .* unset it"):
        NotifySocket(address, Later())


def test_what_is_meant_for_us_is_taken_and_no_child_sees_it() -> None:
    environment = dict.fromkeys(VARIABLES, "7") | {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "3000000", "HOME": "/"}
    assert take_variables(environment, 7) == Managed("@x", 3.0)
    assert environment == {"HOME": "/"}


def test_a_service_that_need_not_tell_anything_is_known_by_its_invocation() -> None:
    assert take_variables({"INVOCATION_ID": "1f"}, 7) == Managed(invoked=True)
    assert take_variables({"INVOCATION_ID": ""}, 7) == Managed()


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "500000"}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "8"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({}, 0.0),
    ],
)
def test_only_a_watchdog_that_is_ours_is_served(environment: dict[str, str], seconds: float) -> None:
    assert take_variables(environment, 7).watchdog == seconds
