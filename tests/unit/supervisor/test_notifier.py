"""What the service manager keeps for our next life, and what we say of the unit that it runs us in."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from changeover.supervisor.core.records.record import Record
from changeover.supervisor.notifier import Notifier
from changeover.supervisor.process import passed as passed_sockets
from changeover.supervisor.process import unit as units
from changeover.supervisor.process.address import Address, TcpAddress, UnixAddress
from changeover.supervisor.process.listeners import Listeners
from changeover.supervisor.process.notify import Managed, NotifySocket
from changeover.supervisor.process.passed import NOTHING, Passed, stored_name
from changeover.supervisor.telemetry.shell import KillModeUnfit
from tests.ports import unused_port
from tests.service_manager import FakeManager, managing


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[FakeManager]:
    with managing(str(tmp_path / "notify")) as managing_us:
        yield managing_us


async def live(manager: FakeManager, address: Address, passed: Passed = NOTHING) -> tuple[int, Listeners]:
    """Begin a life on an address; the inode of the socket that it listens on."""
    loop = asyncio.get_running_loop()
    notifier = Notifier(loop, Managed(), NotifySocket(manager.address, loop.call_later), 1)
    listeners = Listeners.bind([address], passed=passed)
    notifier.store(listeners.bound, passed)
    notifier.close()
    return os.fstat(listeners.bound[0].sock.fileno()).st_ino, listeners


def hand(monkeypatch: pytest.MonkeyPatch, manager: FakeManager, address: Address) -> Passed:
    """What the store passes to the next life, where this process has room for it."""
    [notice] = manager.listen().notices
    [kept] = notice.descriptors
    monkeypatch.setattr(passed_sockets, "FIRST", os.dup2(kept, kept + 50))
    manager.notices.clear()
    os.close(kept)
    return Passed((stored_name(str(address)),))


async def test_a_unix_socket_that_was_bound_anew_takes_the_place_of_the_dead_one(
    manager: FakeManager, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address = UnixAddress(str(tmp_path / "web.sock"))
    _, first = await live(manager, address)
    first.close()
    inode, second = await live(manager, address, hand(monkeypatch, manager, address))
    name = f"FDNAME={stored_name(str(address))}"
    removed, kept = manager.listen().notices
    assert (removed.lines, kept.lines) == (("FDSTOREREMOVE=1", name), ("FDSTORE=1", name))
    assert [os.fstat(fd).st_ino for fd in kept.descriptors] == [inode]
    second.close()


async def test_one_that_was_taken_back_stays_in_the_store(
    manager: FakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = TcpAddress("127.0.0.1", unused_port())
    before, first = await live(manager, address)
    first.close()
    inode, second = await live(manager, address, hand(monkeypatch, manager, address))
    assert inode == before
    assert manager.listen().notices == []
    second.close()


async def test_what_is_added_while_we_serve_is_kept_and_what_is_removed_is_not(
    manager: FakeManager, tmp_path: Path
) -> None:
    loop = asyncio.get_running_loop()
    notifier = Notifier(loop, Managed(), NotifySocket(manager.address, loop.call_later), 1)
    address = UnixAddress(str(tmp_path / "web.sock"))
    listeners = Listeners.bind([address])
    notifier.keep(listeners.bound)
    notifier.forget(listeners.bound)
    notifier.close()
    name = f"FDNAME={stored_name(str(address))}"
    kept, removed = manager.listen().notices
    assert (kept.lines, removed.lines) == (("FDSTORE=1", name), ("FDSTOREREMOVE=1", name))
    assert [os.fstat(fd).st_ino for fd in kept.descriptors] == [os.fstat(listeners.bound[0].sock.fileno()).st_ino]
    listeners.close()


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Awaitable[list[Record]]]:
    """Looks at the unit of a control group, of which systemctl says a kill mode and a main process; what is told."""

    async def look(managed: Managed, cgroup: str, main: str, mode: str = "control-group") -> list[Record]:
        found, systemctl = tmp_path / "cgroup", tmp_path / "systemctl"
        found.write_text(f"0::{cgroup}\n")
        systemctl.write_text(f"#!/bin/sh\necho MainPID={main}\necho KillMode={mode}\n")
        systemctl.chmod(0o755)
        monkeypatch.setattr(units, "BOOTED", tmp_path)
        monkeypatch.setattr(units, "CGROUP", found)
        monkeypatch.setattr(units, "SYSTEMCTL", (str(systemctl),))
        monkeypatch.setattr(units, "ANSWER", 60.0)
        told: list[Record] = []
        notifier = Notifier(asyncio.get_running_loop(), managed, None, 1)
        notifier.look_at_unit(told.append)
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
        notifier.close()
        return told

    return look


SERVICE = "/system.slice/shop.service"
OF_USER = "/user.slice/user-7.slice/user@7.service/app.slice"
INVOKED = Managed(invoked=True)


@pytest.mark.parametrize("cgroup", [SERVICE, f"{OF_USER}/shop.service"])
async def test_a_service_that_need_not_tell_anything_is_warned_of_its_kill_mode(
    asked: Callable[..., Awaitable[list[Record]]], cgroup: str
) -> None:
    assert await asked(INVOKED, cgroup, "$PPID") == [KillModeUnfit("shop.service", "control-group")]
    assert await asked(INVOKED, cgroup, "$PPID", "process") == []


@pytest.mark.parametrize(
    ("managed", "cgroup", "main"),
    [
        (Managed(), SERVICE, "$PPID"),
        (INVOKED, "/user.slice/user-7.slice/session-3.scope", "$PPID"),
        (INVOKED, f"{OF_USER}/vte-spawn-1f.scope", "$PPID"),
        (INVOKED, "/user.slice/user-7.slice/user@7.service", "$PPID"),
        (INVOKED, f"{OF_USER}/konsole.service", "1"),
        (INVOKED, SERVICE, "0"),
    ],
    ids=["no-service", "session", "terminal-in-a-scope", "users-manager", "terminal-that-is-a-service", "nobodys-end"],
)
async def test_at_a_terminal_there_is_no_unit_to_warn_of(
    asked: Callable[..., Awaitable[list[Record]]], managed: Managed, cgroup: str, main: str
) -> None:
    assert await asked(managed, cgroup, main) == []
