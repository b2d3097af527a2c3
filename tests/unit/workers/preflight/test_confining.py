"""Each means of confinement, in a process of its own: what it stops, and that the rest goes on."""

import os
import resource
import signal
import socket
import threading

import msgspec
import pytest

from changeover.workers.preflight import limits
from changeover.workers.preflight.account import Account, account, become
from changeover.workers.preflight.confining import may_write
from changeover.workers.preflight.namespaces import separate
from changeover.workers.protocol.rehearsal import Confinement
from changeover.workers.protocol.snapshot import ApplicationSpec, PluginSpec, UnitKey, UnitKind, UnitRef
from changeover.workers.runtime import kernel, landlock
from changeover.workers.runtime.privileges import give_up_new_privileges
from tests.rehearsing import FINE, Orders
from tests.strangers import elsewhere

NOBODY_ELSE = 30_000 + os.getpid() % 10_000
"""Nobody on this machine, other runs of these tests included."""


def test_limits_are_those_of_the_order_and_what_the_process_has_already_is_on_top() -> None:
    def check() -> None:
        mapped = limits._mapped()
        limits.limit(Confinement(memory=1 << 28, processes=5, deadline=1.5), counted=True)
        assert resource.getrlimit(resource.RLIMIT_AS)[1] >= mapped + (1 << 28)
        assert resource.getrlimit(resource.RLIMIT_NPROC) == (7, 7)
        assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
        assert resource.getrlimit(resource.RLIMIT_FSIZE) == (1 << 28, 1 << 28)
        assert resource.getrlimit(resource.RLIMIT_CPU)[0] == 2 * (os.cpu_count() or 1)
        with pytest.raises(MemoryError):
            bytearray(1 << 29)
        bytearray(1 << 27)

    elsewhere(check)


def test_where_nothing_is_counted_anew_what_others_of_the_user_have_is_on_top(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "processes_of", lambda user: 41 if user == os.getuid() else 0)

    def check() -> None:
        limits.limit(Confinement(processes=5), counted=False)
        assert resource.getrlimit(resource.RLIMIT_NPROC) == (45, 45)

    elsewhere(check)


def test_processes_and_threads_of_a_user_are_counted() -> None:
    def check() -> None:
        if os.geteuid() == 0:
            os.setresuid(NOBODY_ELSE, NOBODY_ELSE, NOBODY_ELSE)
            kernel.prctl("", kernel.PR_SET_DUMPABLE, 1)
        before = limits.processes_of(os.getuid())
        assert before == 1 or os.geteuid() != NOBODY_ELSE
        over = threading.Event()
        threads = [threading.Thread(target=over.wait) for _ in range(2)]
        for thread in threads:
            thread.start()
        assert limits.processes_of(os.getuid()) >= 3
        assert limits.processes_of(os.getuid()) == 3 or os.geteuid() != NOBODY_ELSE
        over.set()

    elsewhere(check)


def test_a_limit_that_is_lower_already_stays() -> None:
    def check() -> None:
        resource.setrlimit(resource.RLIMIT_NPROC, (3, 4))
        limits.limit(Confinement(processes=5000), counted=True)
        assert resource.getrlimit(resource.RLIMIT_NPROC) == (4, 4)

    elsewhere(check)


def test_in_a_namespace_all_end_with_the_first() -> None:
    def check() -> None:
        separation = separate()
        if not separation.together:
            assert len(separation.missing) == 1
            return
        reading, writing = os.pipe()
        first = os.fork()
        if first == 0:
            assert os.getpid() == 1
            if os.fork() == 0:
                os.setsid()
                os.write(writing, b"!")
                signal.pause()
            signal.pause()
        os.close(writing)
        assert os.read(reading, 1) == b"!"
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)
        assert os.read(reading, 1) == b""

    elsewhere(check)


def test_who_is_separated_is_called_as_before() -> None:
    def check() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(NOBODY_ELSE, NOBODY_ELSE, NOBODY_ELSE)
            os.setresuid(NOBODY_ELSE, NOBODY_ELSE, NOBODY_ELSE)
            kernel.prctl("", kernel.PR_SET_DUMPABLE, 1)
        before = os.getuid(), os.getgid()
        separation = separate()
        assert (os.getuid(), os.getgid()) == before
        assert separation.counted == separation.together

    elsewhere(check)


def test_whoever_is_not_root_stays_and_keeps_no_capability() -> None:
    def check() -> None:
        if os.geteuid() == 0:
            os.setresuid(NOBODY_ELSE, NOBODY_ELSE, NOBODY_ELSE)
        assert account() is None
        separate()
        become(None)
        assert kernel.permitted_capabilities() == frozenset()

    elsewhere(check)


def test_root_becomes_nobody_where_it_may() -> None:
    def check() -> None:
        other = account()
        if os.geteuid() != 0 or other is None:
            assert other is None
            return
        assert other == Account(65534, 65534, other.kept)
        become(other)
        assert (os.getresuid(), os.getresgid(), os.getgroups()) == ((65534,) * 3, (65534,) * 3, [])
        assert kernel.permitted_capabilities() == frozenset({other.kept})

    elsewhere(check)


def test_nobody_else_is_signalled_or_reached_at_an_abstract_address() -> None:
    if landlock.abi() < landlock.SCOPES_ABI:
        with pytest.raises(landlock.LandlockMissing, match=r"Landlock 6, of Linux 6\.12"):
            landlock.reach_nobody()
        return
    name = f"\0changeover-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(name)
        listening.listen()

        def check() -> None:
            give_up_new_privileges()
            landlock.reach_nobody()
            with pytest.raises(PermissionError):
                os.kill(os.getppid(), 0)
            with socket.socket(socket.AF_UNIX) as ours, pytest.raises(PermissionError):
                ours.connect(name)
            child = os.fork()
            if child == 0:
                signal.pause()
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

        elsewhere(check)


def test_who_was_granted_it_may_write_and_so_may_an_application(orders: Orders) -> None:
    order = orders.order(FINE)
    assert not may_write(order)
    [unit] = order.candidate.units
    assert isinstance(unit, PluginSpec)
    granted = msgspec.structs.replace(unit, granted=("net", "write"))
    application = ApplicationSpec(UnitKey(UnitRef(UnitKind.APPLICATION, "app"), "d", 1), "app:app", "/app")
    for more in (granted, application):
        candidate = msgspec.structs.replace(order.candidate, units=(more,))
        assert may_write(msgspec.structs.replace(order, candidate=candidate))
        assert may_write(msgspec.structs.replace(order, current=candidate))
