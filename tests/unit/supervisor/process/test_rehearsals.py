"""A rehearsal is over when the process over it is dead: with its report, or with why there is none."""

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator

import pytest

from changeover.supervisor.process import keeper
from changeover.supervisor.process.rehearsals import Rehearsals
from changeover.workers.link.packets import Packet
from changeover.workers.protocol.forking import EndRehearsal, RehearsalFailed, Rehearse, Rehearsing, ZygoteOrder
from changeover.workers.protocol.rehearsal import MAX_REPORT, Confinement, RehearsalOrder, decode_order
from changeover.workers.protocol.snapshot import Snapshot
from tests.waits import until

ORDER = RehearsalOrder(None, Snapshot(7, "digest", rolled=1), Confinement(), "/store")


class Zygote:
    """What rehearsals are asked of, with a process that stands for a keeper, and its end of the line."""

    def __init__(self) -> None:
        self.orders: list[tuple[ZygoteOrder, tuple[int, ...]]] = []
        self.ended: list[tuple[bytes, str]] = []
        self.kills = True
        self.process = subprocess.Popen(["sleep", "60"])
        self.ours, self.keepers = socket.socketpair()
        self.rehearsals = Rehearsals(asyncio.get_running_loop(), self.take)

    def take(self, order: ZygoteOrder, fds: tuple[int, ...]) -> None:
        self.orders.append((order, fds))
        if isinstance(order, EndRehearsal) and self.kills:
            self.die()

    def begin(self) -> None:
        self.rehearsals.begin(7, ORDER, lambda report, why: self.ended.append((report, why)))

    def begun(self) -> None:
        packet = Packet(b"", (os.pidfd_open(self.process.pid), os.dup(self.ours.fileno())))
        self.ours.close()
        self.rehearsals.begun(Rehearsing(7, self.process.pid), packet)

    def die(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def asked(self) -> list[ZygoteOrder]:
        return [order for order, _ in self.orders]


@pytest.fixture
async def zygote() -> AsyncIterator[Zygote]:
    zygote = Zygote()
    yield zygote
    zygote.rehearsals.close()
    zygote.die()
    zygote.ours.close()
    zygote.keepers.close()
    for _, fds in zygote.orders:
        for fd in fds:
            os.close(fd)


async def test_the_order_goes_in_a_file_that_nobody_can_change_any_more(zygote: Zygote) -> None:
    zygote.begin()
    [(order, [file])] = zygote.orders
    assert order == Rehearse(7)
    assert decode_order(os.read(file, 1 << 20)) == ORDER
    with pytest.raises(PermissionError):
        os.write(file, b"another")


async def test_the_report_counts_once_nothing_of_it_is_left(zygote: Zygote) -> None:
    zygote.begin()
    zygote.begun()
    zygote.keepers.sendall(b"all ")
    zygote.keepers.sendall(b"is well")
    zygote.keepers.close()
    zygote.die()
    await until(lambda: zygote.ended, "the end")
    assert zygote.ended == [(b"all is well", "")]
    assert zygote.asked() == [Rehearse(7)]


async def test_one_that_stays_after_its_report_is_killed(zygote: Zygote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "LEAVING", 0.05)
    zygote.begin()
    zygote.begun()
    zygote.keepers.sendall(b"all is well")
    zygote.keepers.close()
    await until(lambda: zygote.ended, "the end")
    assert zygote.asked() == [Rehearse(7), EndRehearsal(7)]
    assert zygote.ended == [(b"all is well", "")]


async def test_one_that_dies_without_a_word_is_told_as_that_also_where_somebody_else_has_its_line(
    zygote: Zygote,
) -> None:
    zygote.begin()
    zygote.begun()
    zygote.die()
    await until(lambda: zygote.ended, "the end")
    assert zygote.ended == [(b"", "the process over it ended without a report")]


async def test_a_report_that_does_not_end_is_cut_and_its_writer_killed(zygote: Zygote) -> None:
    zygote.begin()
    zygote.begun()
    await asyncio.get_running_loop().run_in_executor(None, flood, zygote.keepers)
    await until(lambda: zygote.ended, "the end", 10.0)
    assert len(zygote.ended[0][0]) == MAX_REPORT + 1


def flood(sock: socket.socket) -> None:
    try:
        while True:
            sock.sendall(b"x" * 65536)
    except OSError:
        return


async def test_one_that_is_given_up_is_killed_and_not_told(zygote: Zygote) -> None:
    zygote.begin()
    zygote.begun()
    zygote.rehearsals.give_up(7)
    await until(lambda: zygote.process.poll() is not None, "its death")
    assert EndRehearsal(7) in zygote.asked()
    assert zygote.keepers.recv(1) == b""
    assert zygote.ended == []


async def test_one_that_somebody_stopped_is_killed_where_its_zygote_cannot_end_it(
    zygote: Zygote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "LEAVING", 0.05)
    monkeypatch.setattr(keeper, "DYING", 0.05)
    zygote.kills = False
    zygote.process.send_signal(signal.SIGSTOP)
    zygote.begin()
    zygote.begun()
    zygote.rehearsals.give_up(7)
    await until(lambda: zygote.process.poll() == -signal.SIGKILL, "its death")
    assert EndRehearsal(7) in zygote.asked()


async def test_one_that_is_given_up_before_it_begins_is_killed_as_soon_as_it_does(zygote: Zygote) -> None:
    zygote.begin()
    zygote.rehearsals.give_up(7)
    assert zygote.asked() == [Rehearse(7), EndRehearsal(7)]
    zygote.process = subprocess.Popen(["sleep", "60"])  # it was forked all the same
    zygote.begun()
    await until(lambda: zygote.process.poll() is not None, "its death")
    assert zygote.ended == []


async def test_what_the_zygote_cannot_begin_is_told_with_its_words(zygote: Zygote) -> None:
    zygote.begin()
    zygote.rehearsals.failed(RehearsalFailed(7, 11, "Resource temporarily unavailable"))
    assert zygote.ended == [(b"", "Resource temporarily unavailable")]


async def test_one_whose_descriptors_did_not_arrive_is_killed(zygote: Zygote) -> None:
    zygote.begin()
    zygote.rehearsals.begun(Rehearsing(7, zygote.process.pid), Packet(b"", ()))
    assert zygote.asked() == [Rehearse(7), EndRehearsal(7)]
    assert zygote.ended == [(b"", "no descriptor was free for it")]


async def test_with_the_zygote_goes_what_has_not_begun(zygote: Zygote) -> None:
    zygote.begin()
    zygote.rehearsals.lose("its zygote died")
    assert zygote.ended == [(b"", "its zygote died")]


async def test_letting_go_hangs_up_and_tells_nobody(zygote: Zygote) -> None:
    zygote.begin()
    zygote.begun()
    zygote.rehearsals.close()
    assert zygote.keepers.recv(1) == b""
    zygote.die()
    assert zygote.ended == []
