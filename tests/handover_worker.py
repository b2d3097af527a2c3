"""A process like a worker: accepts, serves, receives, leaves, as its test tells it over a socket."""

import asyncio
import errno
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import msgspec
import uvloop

from changeover.workers.handover import events
from changeover.workers.handover.departure import Departure
from changeover.workers.handover.messages import Fault
from changeover.workers.handover.reception import Reception
from changeover.workers.link import endpoints
from changeover.workers.link.packets import send_packet
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.runtime.accept import Acceptor
from changeover.workers.runtime.counts import Counts
from changeover.workers.serving.exchange import Exchange
from tests.handover import JOURNAL, descriptors, worker_id
from tests.waits import DEADLINE
from tests.wire import FakeDispatcher, connections_of, echo

NOBODY = 65534
LONGEST = 4096
LONGEST_LIFE = 100
"""Seconds after which a worker that was forgotten ends by itself."""


class Report(msgspec.Struct):
    """What a worker says of itself."""

    connections: int = 0
    adopted: int = 0
    ended: int = 0
    held: int = 0
    bare: int = 0
    descriptors: int = 0
    cpu: float = 0.0


class Setting(msgspec.Struct, frozen=True):
    """How a worker is made.

    Attributes:
        runtime: Where the sockets are.
        listener: Shared by all.
        page: Descriptor of the shared counts.
        slots: How many slots there are.
    """

    runtime: Path
    listener: socket.socket
    page: int
    slots: int


async def answer(exchange: Exchange) -> None:
    """Echo; `/slow` takes a moment, `/large` has a long answer."""
    path = exchange.request.path
    if path.startswith("/slow"):
        await asyncio.sleep(0.01)
    if path.startswith("/large"):
        exchange.start(200, [(b"content-length", b"400000")])
        for _ in range(8):
            exchange.write(b"x" * 50_000)
            await exchange.drain()
        exchange.end()
    else:
        await echo(exchange)


class Life:
    """The inside of the process."""

    def __init__(self, setting: Setting, incarnation: int, control: socket.socket, room: int | None) -> None:
        loop = asyncio.get_running_loop()
        self.worker = worker_id(incarnation)
        self.control = control
        self.connections = connections_of(FakeDispatcher(answer))
        self.acceptor = Acceptor(
            {setting.listener.dup(): ""}, self.connections, Counts(setting.page), incarnation % setting.slots, 0
        )
        self.reception = Reception(
            loop,
            endpoints.handover(setting.runtime, self.worker),
            JOURNAL,
            self.connections,
            lambda: self.acceptor.room if room is None else events.Room(room, 100_000),
            lambda: (b"nobody's", ()),
        )
        self.departure = Departure(
            loop, setting.runtime, self.worker, lambda: Stamp(JOURNAL, 1, incarnation), self.connections
        )
        self.spare: list[socket.socket | int] = []
        self.orders: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
            "accept": self.accept,
            "connect": self.connect,
            "begin": self.begin,
            "deafen": self.deafen,
            "done": self.done,
            "report": self.report,
            "exhaust": self.exhaust,
            "fill": self.fill,
            "free": self.free,
        }

    async def live(self) -> None:
        self.reception.start()
        loop = asyncio.get_running_loop()
        self.control.setblocking(False)
        while order := await loop.sock_recv(self.control, LONGEST):
            name, numbers = msgspec.json.decode(order, type=tuple[str, list[int]])
            await self.orders[name](*numbers)
            usage = resource.getrusage(resource.RUSAGE_SELF)
            report = Report(
                len(self.connections),
                self.departure.adopted,
                self.departure.ended,
                self.departure.sender.held,
                self.reception.receiver.faults[Fault.BARE],
                descriptors(),
                usage.ru_utime + usage.ru_stime,
            )
            await loop.sock_sendall(self.control, msgspec.json.encode(report))
        self.departure.close()
        self.reception.close()
        self.acceptor.close()
        await self.connections.stop(0.5)

    async def accept(self) -> None:
        self.acceptor.start()
        self.reception.refresh()

    async def connect(self, *successors: int) -> None:
        await self.departure.connect([worker_id(each) for each in successors], DEADLINE)

    async def begin(self) -> None:
        self.acceptor.close()
        self.departure.begin()

    async def deafen(self) -> None:
        """Accept no more."""
        self.acceptor.close()

    async def done(self) -> None:
        await self.departure.done()
        self.departure.close()

    async def report(self) -> None:
        """Only report."""

    async def exhaust(self) -> None:
        """Use up all descriptors."""
        with suppress(OSError):
            while True:
                self.spare.append(os.open("/dev/null", os.O_RDONLY))

    async def fill(self) -> None:
        """Have more descriptors under way than this user may."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.spare += [here, there]
        here.setblocking(False)
        try:
            while True:
                send_packet(here, b"!", [0] * 50)
        except OSError as error:
            if error.errno != errno.ETOOMANYREFS:
                raise

    async def free(self) -> None:
        """Give back what `exhaust` or `fill` took."""
        for each in self.spare:
            each.close() if isinstance(each, socket.socket) else os.close(each)
        self.spare.clear()


class Worker:
    """A process like a worker, as its test sees it."""

    def __init__(self, incarnation: int, pid: int, control: socket.socket) -> None:
        self.incarnation = incarnation
        self.pid = pid
        self._control = control

    @classmethod
    def fork(
        cls, setting: Setting, incarnation: int, *, nofile: int | None = None, room: int | None = None, uid: int = 0
    ) -> Self:
        """Make the process.

        Args:
            setting: What all have in common.
            incarnation: Its number.
            nofile: Most descriptors.
            room: How many more connections it says that it may hold; as many as it may, unless given.
            uid: Who it is to be; 0 is whoever runs the test.
        """
        ours, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(30)
        sys.stdout.flush()
        child = os.fork()
        if child:
            control.close()
            return cls(incarnation, child, ours)
        status = 1
        try:
            signal.alarm(LONGEST_LIFE)
            _close_all_but(control.fileno(), setting.listener.fileno(), setting.page)
            if nofile is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))
            if uid:
                os.setuid(uid)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_live(setting, incarnation, control, room))
            status = 0
        except BaseException:  # noqa: BLE001 - this frame is the process
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def order(self, name: str, *numbers: int) -> Report:
        """Have it do something, and report."""
        self.send(name, *numbers)
        return self.answer()

    def send(self, name: str, *numbers: int) -> None:
        self._control.send(msgspec.json.encode((name, numbers)))

    def answer(self) -> Report:
        told = self._control.recv(LONGEST)
        assert told, f"worker {self.incarnation} is gone"
        return msgspec.json.decode(told, type=Report)

    def signal(self, signum: signal.Signals) -> None:
        os.kill(self.pid, signum)

    def end(self) -> int:
        """Let it leave; its exit status. One that does not leave is killed by its alarm."""
        self._control.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


async def _live(setting: Setting, incarnation: int, control: socket.socket, room: int | None) -> None:
    await Life(setting, incarnation, control, room).live()


def _close_all_but(*kept: int) -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in kept:
            with suppress(OSError):
                os.close(int(name))
