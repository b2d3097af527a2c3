"""Accepts connections, a fair share of them, and never more than there are descriptors for.

Every worker listens on the same sockets. Left to the kernel that is unfair, and a worker without
descriptors would lose what is queued. So each worker counts its connections on a shared page
(`counts`) and leaves a new one to the others while it holds more than its share. It does not wait
for them long: a peer that has not come for it within `PATIENCE` is busy or stuck, and for
`INDULGENCE` after that nothing is left to anybody.
"""

import asyncio
import enum
import errno
import logging
import os
import resource
import select
import socket
from collections.abc import Callable, Mapping, Sequence

from changeover.workers.channel.connections import Connections
from changeover.workers.handover.events import Room
from changeover.workers.link.hops import ANY, demand_hops
from changeover.workers.runtime.counts import Counts

logger = logging.getLogger(__name__)

PATIENCE = 0.02
"""Seconds that a connection waits for a peer that is below its share."""
INDULGENCE = 1.0
"""Seconds for which nobody is waited for, after waiting was in vain."""
RETRY = 0.05
"""Seconds between two attempts while the process or the system is out of descriptors."""
RECHECK = 0.002
"""Seconds between two looks at the shares."""
BATCH = 32
"""Most connections accepted before the loop does something else."""
RESERVE = 8
"""Descriptors left for everything that is neither a client connection nor a link to another worker."""

UNSENT = 128 * 1024
"""Bytes that the kernel takes for a client before it has sent them. Left alone it takes megabytes for one that reads
nothing, all at once: 1,000 such clients kept everybody else waiting for nine seconds."""

OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
ENDED = errno.EINVAL
"""What accepting says of a socket that listens no more: its address was removed, for every process that shares it."""
CLIENT_LEFT = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.ENETDOWN, errno.EHOSTUNREACH})


def most_connections(wanted: int, peers: int = 0) -> int:
    """How many connections this process may hold.

    Args:
        wanted: As configured; 0 = as many as descriptors allow.
        peers: Workers of each cohort: those that leave link to us, and once we leave we link to those that come.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        soft = 1 << 20
    free = max(1, soft - len(os.listdir("/proc/self/fd")) - RESERVE - 2 * peers)
    return min(wanted, free) if wanted else free


def may_accept(own: int, living: Sequence[int]) -> bool:
    """Whether a worker with `own` connections is within its fair share, with some slack.

    Args:
        own: Its connections.
        living: Those of every worker that accepts, its own included.
    """
    share = sum(living) / max(1, len(living))
    return own < share + 1 + share // 16


class State(enum.Enum):
    """What the acceptor is doing."""

    IDLE = enum.auto()
    """Not started."""
    EXPECTING = enum.auto()
    """Has room for connections of others, and accepts none yet."""
    OPEN = enum.auto()
    """Waits for connections."""
    YIELDING = enum.auto()
    """One is waiting, left to a peer that is below its share."""
    FULL = enum.auto()
    """Holds as many as it may."""
    STARVED = enum.auto()
    """There are no descriptors."""
    EMPTYING = enum.auto()
    """Takes what is queued, as far as there are descriptors; then it closes."""
    CLOSED = enum.auto()


ROOMY = frozenset({State.EXPECTING, State.OPEN, State.YIELDING})
NOT_STARTED = frozenset({State.IDLE, State.EXPECTING})
PAUSES = {State.YIELDING: RECHECK, State.STARVED: RETRY, State.EMPTYING: RETRY}


class Patience:
    """How long a waiting connection is left to a peer.

    Args:
        clock: Seconds.
    """

    __slots__ = ("_clock", "_fewest", "_gone_until", "_since")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: float | None = None
        self._fewest = 0
        self._gone_until = 0.0

    def rest(self) -> None:
        """Nothing waits for a peer any more."""
        self._since = None

    def leaves(self, own: int, living: Sequence[int]) -> bool:
        """Whether a waiting connection is left to a peer.

        Args:
            own: Connections of this worker.
            living: Those of every worker that accepts.
        """
        now = self._clock()
        if now < self._gone_until or may_accept(own, living):
            self._since = None
            return False
        fewest = min(living)
        if self._since is None or fewest > self._fewest:
            self._since, self._fewest = now, fewest
        elif now - self._since >= PATIENCE:
            self._since, self._gone_until = None, now + INDULGENCE
            return False
        return True


class Acceptor:
    """The accept loop of one worker over all its listening sockets.

    Args:
        listeners: Listening sockets, owned by the acceptor from here on (dup'ed by the caller, who shares them), and
            the address of each, as it is configured.
        connections: Where accepted connections go, and who says how many there are.
        counts: The shared page.
        slot: The worker's own word on it.
        most: Most connections at a time; 0 = as many as descriptors allow, which bound it in any case.
        peers: Workers of each cohort.

    Attributes:
        state: What it is doing.
        accepted: How many it has accepted.
    """

    def __init__(
        self,
        listeners: Mapping[socket.socket, str],
        connections: Connections,
        counts: Counts,
        slot: int,
        most: int,
        peers: int = 0,
    ) -> None:
        self.state = State.IDLE
        self.accepted = 0
        self._listeners = dict(listeners)
        self._connections = connections
        self._counts = counts
        self._slot = slot
        self._most = most
        self._peers = peers
        self._loop = asyncio.get_running_loop()
        self._patience = Patience(self._loop.time)
        self._timer: asyncio.TimerHandle | None = None
        self._queues = select.poll()

    @property
    def room(self) -> Room:
        """How many more connections this worker may hold; none are expected as long as it accepts none."""
        space = max(0, self._most - len(self._connections))
        return Room(space if self.state in ROOMY else 0, space)

    def expect(self) -> None:
        """Have room for connections of others. Descriptors that are open by now are not available to connections."""
        self._most = most_connections(self._most, self._peers)
        self._enter(State.EXPECTING)

    def start(self) -> None:
        """Begin to accept, and to count."""
        if self.state is State.IDLE:
            self.expect()
        for listener in self._listeners:
            listener.setblocking(False)
            if listener.family != socket.AF_UNIX:
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit both
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
            self._queues.register(listener, select.POLLIN)
        self._connections.on_change = self._on_change
        self._counts.store(self._slot, len(self._connections))
        self._enter(State.OPEN)

    def empty_queue(self) -> int:
        """Accept everything that is queued, fair or not, then close the listening sockets.

        Returns:
            How many were accepted at once. Without descriptors the rest follows as connections end, until `close`.
        """
        before = self.accepted
        if self.state in NOT_STARTED:  # whoever serves takes what is queued
            self.close()
        elif self.state is not State.CLOSED:
            self._empty()
        return self.accepted - before

    def close(self) -> None:
        """Stop accepting; what is queued stays queued for whoever else listens."""
        if self.state not in NOT_STARTED and self.state is not State.CLOSED:
            self._counts.vacate(self._slot)
        self._enter(State.CLOSED)
        for listener in self._listeners:
            listener.close()

    def _on_change(self, held: int) -> None:
        if self.state is State.CLOSED:
            return
        self._counts.store(self._slot, held)
        if held < self._most and self.state in (State.FULL, State.STARVED):
            self._enter(State.OPEN)

    def _enter(self, state: State) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (state is State.OPEN) != (self.state is State.OPEN):
            self._listen(state is State.OPEN)
        self.state = state
        if state in PAUSES:
            self._timer = self._loop.call_later(PAUSES[state], self._look_again)

    def _listen(self, on: bool) -> None:
        for listener in self._listeners:
            if on:
                self._loop.add_reader(listener, self._on_readable, listener)
            else:
                self._loop.remove_reader(listener)

    def _on_readable(self, listener: socket.socket) -> None:
        for _ in range(BATCH):
            if self.state is not State.OPEN:
                return
            if len(self._connections) >= self._most:
                self._enter(State.FULL)
            elif self._leaves_it():
                self._enter(State.YIELDING)
            elif not self._accept_one(listener):
                return

    def _look_again(self) -> None:
        self._timer = None
        if self.state is State.EMPTYING:
            self._empty()
        elif self.state is State.YIELDING and self._queues.poll(0) and self._leaves_it():
            self._enter(State.YIELDING)
        else:
            self._patience.rest()
            self._enter(State.OPEN)

    def _leaves_it(self) -> bool:
        return self._patience.leaves(len(self._connections), tuple(self._counts.living()))

    def _empty(self) -> None:
        self._enter(State.EMPTYING)
        for listener in tuple(self._listeners):
            while self._accept_one(listener):
                pass
        if not self._queues.poll(0):
            self.close()

    def _let_go(self, listener: socket.socket) -> None:
        if self.state is State.OPEN:
            self._loop.remove_reader(listener)
        self._queues.unregister(listener)
        del self._listeners[listener]
        listener.close()

    def _accept_one(self, listener: socket.socket) -> bool:
        """Accept one connection; whether another try is worth while."""
        try:
            accepted, _ = listener.accept()
        except BlockingIOError:
            return False
        except OSError as error:
            return self._on_error(listener, error)
        self.accepted += 1
        demand_hops(accepted, ANY)  # inherited from a listener at which arrivals are being ended
        self._connections.accept(accepted, self._listeners[listener])
        return True

    def _on_error(self, listener: socket.socket, error: OSError) -> bool:
        if error.errno in CLIENT_LEFT:
            return True
        if error.errno == ENDED:
            self._let_go(listener)
            return False
        if error.errno not in OUT_OF_DESCRIPTORS:
            logger.error("accept failed, next attempt in %s s: %r", RETRY, error)
        self._enter(State.EMPTYING if self.state is State.EMPTYING else State.STARVED)
        return False
