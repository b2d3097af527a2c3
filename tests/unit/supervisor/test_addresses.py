"""What is listened on through cutovers: bound aside, taken at the commit, let go of when nobody comes any more."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

import pytest

from changeover.supervisor.addresses import Addresses, BindOverdue
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.process.address import Address, parse_address
from changeover.supervisor.process.listeners import BoundListener, Listeners
from changeover.supervisor.telemetry.shell import AddressClosed, AddressesAmiss, AddressesChanged
from tests.waits import until

ANY = "127.0.0.1:0"
LINGER = 0.1


class Bench:
    """Addresses, and what they told; binding waits for `gate`, and says so in `binding`."""

    def __init__(self, *addresses: str, unserved: int = 0) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.binding = threading.Event()
        self.bound = Listeners(())
        self.told: list[Record] = []
        self.kept: list[str] = []
        adopted = Listeners.bind(map(parse_address, addresses))
        self.addresses = Addresses(
            asyncio.get_running_loop(),
            adopted,
            self.bind,
            LINGER,
            self.keep,
            self.told.append,
            [listener.number for listener in adopted.bound[len(addresses) - unserved :]],
        )

    def bind(self, wanted: Sequence[Address], beside: Sequence[Address]) -> Listeners:
        self.binding.set()
        assert self.gate.wait(10.0)
        self.bound = Listeners.bind(wanted, beside=beside)
        return self.bound

    def keep(self, added: Iterable[BoundListener], removed: Iterable[BoundListener]) -> None:
        self.kept += [f"+{listener.shown}" for listener in added] + [f"-{listener.shown}" for listener in removed]

    async def move(self, epoch: int, *addresses: str) -> None:
        """Bind and commit."""
        await self.addresses.prepare(epoch, addresses, 5.0)
        self.addresses.serve(addresses)

    def open(self) -> int:
        return len(self.addresses.all().bound)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench(ANY)
    yield bench
    bench.gate.set()
    bench.addresses.stop()
    bench.addresses.all().close()


def listens(shown: str) -> bool:
    host, _, port = shown.rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


async def test_nothing_of_a_candidate_is_given_to_those_who_serve(bench: Bench) -> None:
    first = bench.addresses.for_workers(1)
    await bench.addresses.prepare(2, (ANY, ANY), 5.0)
    assert bench.addresses.for_workers(1) == first
    assert len(bench.addresses.for_workers(2)) == 2
    assert len(bench.addresses.shown()) == 1
    bench.addresses.serve((ANY, ANY))
    assert bench.addresses.among(first, 1) == first
    assert len(bench.addresses.shown()) == 2


async def test_those_that_take_over_also_accept_where_what_they_replace_was(bench: Bench) -> None:
    [old] = bench.addresses.shown()
    await bench.addresses.prepare(2, ("127.0.0.2:0",), 5.0)
    inherited = bench.addresses.for_workers(2)
    assert len(inherited) == 2
    bench.addresses.serve(("127.0.0.2:0",))
    assert bench.addresses.among(inherited, 2) == inherited
    assert bench.addresses.leaving() == (old,)
    await until(lambda: bench.addresses.leaving() == ())
    assert [each.address for each in bench.addresses.among(inherited, 2)] == [*bench.addresses.shown()]
    assert not listens(old)
    assert bench.kept == [f"+{bench.addresses.shown()[0]}", f"-{old}"]
    changed, closed = bench.told
    assert isinstance(changed, AddressesChanged)
    assert (changed.added, changed.removed) == (bench.addresses.shown(), (old,))
    assert closed == AddressClosed(old)


async def test_an_address_stays_as_long_as_somebody_waits_there(bench: Bench) -> None:
    [listener] = bench.addresses.all().bound
    waiting = socket.create_connection(listener.sock.getsockname())
    await bench.move(2, "127.0.0.2:0")
    await asyncio.sleep(3 * LINGER)
    assert bench.addresses.leaving() == (listener.shown,)
    listener.sock.accept()[0].close()
    await until(lambda: not bench.addresses.leaving())
    waiting.close()


async def test_a_candidate_that_is_dropped_leaves_nothing_bound(bench: Bench) -> None:
    await bench.addresses.prepare(2, (ANY, "127.0.0.2:0"), 5.0)
    fresh = bench.addresses.all().bound[1].shown
    assert listens(fresh)
    bench.addresses.drop()
    assert not listens(fresh)
    assert bench.open() == 1
    assert bench.told == []


async def test_a_candidate_that_is_dropped_while_it_is_bound_leaves_nothing_bound(bench: Bench) -> None:
    bench.gate.clear()
    preparing = asyncio.create_task(bench.addresses.prepare(2, (ANY, "127.0.0.2:0"), 5.0))
    await until(bench.binding.is_set)
    bench.addresses.drop()
    bench.gate.set()
    await preparing
    assert bench.open() == 1


async def test_what_cannot_be_bound_in_time_is_closed_when_it_can(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    bench.gate.clear()
    with pytest.raises(BindOverdue, match=r"within 0.05 s; write addresses instead of names"):
        await bench.addresses.prepare(2, (ANY, f"unix:{path}"), 0.05)
    bench.gate.set()
    bench.addresses.drop()
    await until(lambda: bench.bound.bound and bench.bound.bound[-1].sock.fileno() == -1)
    assert not path.exists()
    assert bench.open() == 1


async def test_one_that_comes_back_while_it_lingers_is_the_same_socket(bench: Bench) -> None:
    [old] = bench.addresses.shown()
    await bench.move(2, "127.0.0.2:0")
    await bench.move(3, ANY)
    assert bench.addresses.shown() == (old,)
    await until(lambda: not bench.addresses.leaving())
    assert listens(old)


async def test_one_that_a_dropped_candidate_wanted_back_goes_on_to_close(bench: Bench) -> None:
    [old] = bench.addresses.shown()
    await bench.move(2, "127.0.0.2:0")
    await bench.addresses.prepare(3, (ANY,), 5.0)
    await asyncio.sleep(3 * LINGER)
    assert bench.addresses.leaving() == (old,)
    bench.addresses.drop()
    await until(lambda: not bench.addresses.leaving())
    assert not listens(old)


async def test_one_that_a_candidate_wanted_which_was_dropped_before_it_was_bound_goes_on_to_close() -> None:
    bench = Bench(ANY, "127.0.0.2:0")
    quiet, busy = bench.addresses.all().bound
    waiting = socket.create_connection(busy.sock.getsockname())
    await bench.move(2, "127.0.0.3:0")
    await until(lambda: any(place.closing for place in bench.addresses._removed))
    preparing = asyncio.create_task(bench.addresses.prepare(3, (ANY, "127.0.0.2:0"), 5.0))
    await asyncio.sleep(0)
    bench.addresses.drop()
    await preparing
    assert bench.addresses.leaving() == (busy.shown,)
    busy.sock.accept()[0].close()
    await until(lambda: not bench.addresses.leaving())
    assert not listens(quiet.shown)
    waiting.close()
    bench.addresses.all().close()


@pytest.fixture
async def adopting() -> AsyncIterator[Bench]:
    """What is listened on once a supervisor died before the commit of a second address."""
    bench = Bench(ANY, "127.0.0.2:0", unserved=1)
    yield bench
    bench.addresses.stop()
    bench.addresses.all().close()


async def test_one_that_nobody_who_serves_has_is_closed_at_once(adopting: Bench) -> None:
    _, candidates = adopting.addresses.all().bound
    with socket.create_connection(candidates.sock.getsockname()) as waiting:
        adopting.addresses.serve((ANY,))
        assert adopting.told == [AddressClosed(candidates.shown, waiting=True)]
        with pytest.raises(ConnectionResetError):
            waiting.recv(1)
    assert (adopting.addresses.leaving(), adopting.open()) == ((), 1)
    assert adopting.kept == [f"-{candidates.shown}"]
    assert not listens(candidates.shown)


async def test_one_that_comes_to_be_served_after_all_lingers_as_any_other_once_it_is_removed(adopting: Bench) -> None:
    _, candidates = adopting.addresses.all().bound
    await adopting.move(2, ANY, "127.0.0.2:0")
    adopting.addresses.serve((ANY,))
    assert adopting.addresses.leaving() == (candidates.shown,)
    assert listens(candidates.shown)


async def test_what_was_never_bound_changes_nothing_and_is_told(bench: Bench) -> None:
    [old] = bench.addresses.shown()
    bench.addresses.serve(("127.0.0.2:0",))
    assert bench.addresses.shown() == (old,)
    assert bench.told == [AddressesAmiss(("127.0.0.2:0",), (old,))]


async def test_addresses_that_read_the_same_are_as_many_as_are_written(bench: Bench) -> None:
    await bench.move(2, ANY, ANY, ANY)
    assert len(set(bench.addresses.shown())) == 3
    await bench.move(3, ANY)
    assert len(bench.addresses.shown()) == 1
    await until(lambda: bench.open() == 1)
