"""One connection of a raw protocol, which can always name its unread bytes.

    loop's buffer -> `Inbox` -> codec of the generation that serves -> handlers, service -> batch -> one write

Between two messages it belongs to no generation but the one that serves: each message is admitted on its own.
"""

import asyncio
import socket
from collections.abc import Callable
from time import monotonic_ns
from typing import Any, cast

from changeover.workers.channel.connection import Carrying, Connection, Owner, Parting
from changeover.workers.channel.outlet import Course, Outlet
from changeover.workers.channel.phases import Overdue, Phase, Sight, Watch, sight_between
from changeover.workers.channel.stint import Stint
from changeover.workers.channel.waiters import Waiters
from changeover.workers.message.channel import UNASKED, Channel, Pressure
from changeover.workers.message.codec import Goodbye, MalformedMessage
from changeover.workers.message.contract import MessageCall
from changeover.workers.message.inbox import Inbox
from changeover.workers.message.outbox import Outbox
from changeover.workers.message.session import GOODBYES, Session
from changeover.workers.message.site import MESSAGES, Generation, MessageSite, MessageTarget
from changeover.workers.message.work import start
from changeover.workers.serving.handshake import HandshakeOutcome
from changeover.workers.serving.lease import LeaseKind


class MessageConnection(asyncio.BufferedProtocol, Carrying):
    """A connection of a client.

    Args:
        site: What it has in common with others.
        name: Its initializer.
        owner: Told when it rests, and when it is gone.
        opened: Called when it has a transport.
        outcome: How it came about.

    Attributes:
        outcome: As above.
        initializer: As above, `name`.
        client: Peer address and port; None on a Unix socket.
        server: Own address and port, or path and None on a Unix socket.
        outlet: The write side.
        requests: How many messages were dispatched.
        watch: Since when it has been doing what it does, for the sweep.
        since: When it was opened here, seconds of the loop's clock.
    """

    kind = LeaseKind.HTTP
    __slots__ = (
        "_advancing", "_arrived", "_held", "_inbox", "_last", "_opened", "_outbox", "_owner", "_reading", "_session",
        "_site", "_stint", "_transport", "channel", "client", "initializer", "outcome", "outlet", "requests", "server",
        "since", "watch",
    )  # fmt: skip

    _transport: asyncio.Transport
    _outbox: Outbox
    outlet: Outlet
    since: float

    def __init__(
        self,
        site: MessageSite,
        name: str,
        owner: Owner,
        opened: Callable[[Connection], None],
        outcome: HandshakeOutcome | None,
    ) -> None:
        self.initializer = name
        self.outcome = outcome or HandshakeOutcome()
        self.client, self.server = self.outcome.client, self.outcome.server
        self.requests = 0
        self.watch = Watch()
        self.channel = Channel(self)
        self._site = site
        self._owner = owner
        self._opened = opened
        self._session = Session(site, name, self.channel)
        self._inbox = Inbox(site.limits.unread)
        self._arrived = Waiters()
        self._last: Goodbye | None = Goodbye.LEAVING
        self._stint = Stint(MESSAGES)
        self._held = self._advancing = False
        self._reading = True

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self.outlet = Outlet(self._transport)
        self._outbox = Outbox(self._site, self._session, self.channel, self._transport, self.outlet, self._fail)
        self.since = asyncio.get_running_loop().time()
        self._site.enter(self)
        self._opened(self)
        del self._opened
        self._advance()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read to: no more than may still be unread."""
        return self._site.buffer[: max(1, self._inbox.room)]

    def buffer_updated(self, nbytes: int) -> None:
        """Go on with what was read."""
        if self.outlet.course is Course.LINGERING:
            self.outlet.drop(nbytes)
        else:
            self.take(bytes(self._site.buffer[:nbytes]))

    def eof_received(self) -> bool:
        """The client has shut its write side; it still gets the answers to what it asked."""
        self.outlet.client_shut = True
        self._arrived.wake()
        self._advance()
        return self.outlet.course is not Course.LINGERING and self._transport.can_write_eof()

    def pause_writing(self) -> None:
        """The client does not take what is written: nothing more is begun for it."""
        self.outlet.clog()

    def resume_writing(self) -> None:
        """The client has taken enough."""
        self.outlet.unclog()
        self._advance()

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        self.outlet.lost()
        self._held = False
        self._outbox.lose()
        self._arrived.wake()
        self._site.exit(self)
        if self._outbox.call is None:
            self._guarded(self._session.end)
            self._outbox.let_go()
        self._owner.closed(self)

    # What the owner of all connections calls.

    @property
    def parting(self) -> Parting:
        """See `Departing`: keys stay where they are, so TLS ends."""
        return Parting.STAYS if self.outcome.tls else Parting.RESTS

    def unread(self) -> bytes:
        """See `Connection`."""
        return bytes(self._inbox)

    @property
    def at_boundary(self) -> bool:
        """See `Connection`."""
        return self._outbox.call is None and not self.outlet.ending

    def take(self, data: bytes) -> None:
        """Go on with bytes of the client, from the loop or from the process that read them."""
        self._inbox.add(data)
        self._arrived.wake()
        self._advance()

    def carried(self) -> bytes | None:
        """See `Carrying`."""
        return self._session.exported()

    def go_on(self, state: bytes | None) -> None:
        """See `Carrying`."""
        self._session.arrive(state)

    def resume(self) -> None:
        """Offer a held message again."""
        if self._held:
            self._held = False
            self._advance()

    def leave(self) -> None:
        """Begin no message any more."""
        if self.outlet.course is Course.OPEN:
            self.outlet.course = Course.LEAVING
            self._advance()

    def part(self) -> socket.socket | None:
        """See `Connection`."""
        return self.outlet.take_socket()

    def farewell(self, *, asked: bool = False) -> None:
        """See `Connection`."""
        if self.at_boundary:
            self._say_goodbye(Goodbye.LEAVING)
        else:
            self.outlet.announce()

    def abort(self) -> None:
        """Cut the connection off."""
        self.outlet.abort()

    def sight(self) -> Sight:
        """What it is doing."""
        writing = self.outlet.sight()
        if writing is not None:
            return writing
        if self._outbox.call is not None:
            return Sight(Phase.BUSY, self.requests)
        between = sight_between(self.requests, begun=len(self._inbox) > 0, held=self._held)
        bounds = self._session.bounds
        limits = {Phase.HEAD: bounds.message, Phase.HELD: 0.0}
        return Sight(between.phase, between.progress, limits.get(between.phase, bounds.idle))

    def overdue(self, overdue: Overdue) -> None:
        """Its phase has lasted too long."""
        if overdue in GOODBYES:
            self._say_goodbye(GOODBYES[overdue])
        elif overdue is Overdue.ABORT:
            self.outlet.abort()

    # What a switch of generations calls.

    def hold(self, generation: Generation) -> None:
        """See `Moving`."""
        self._session.hold(generation)

    def move(self) -> None:
        """See `Moving`."""
        if self._outbox.call is None and self._session.outdated and self.outlet.course is Course.OPEN:
            self._guarded(self._catch_up)

    # What its channel calls.

    @property
    def way(self) -> Outbox:
        """See `Wire`."""
        return self._outbox

    @property
    def client_shut(self) -> bool:
        """See `Wire`."""
        return self.outlet.client_shut or self.outlet.ended

    async def next_message(self) -> Any:
        """See `Wire`."""
        call, target = self._outbox.call, self._session.target
        if call is None or target is None:
            raise RuntimeError(UNASKED)
        call.lease.kind = LeaseKind.STREAM
        while True:
            taken = self._inbox.take(target.pipeline.codec)
            self._regulate()
            if taken is not None:
                return taken[0]
            if self.client_shut:
                return None
            self._outbox.flush()
            await self._arrived.wait()

    def shut(self) -> None:
        """See `Wire`."""
        if not self._outbox.finish():
            self.leave_off()

    def leave_off(self) -> None:
        """See `Wire`."""
        self._last = None
        if self._outbox.call is None:
            self._say_goodbye(None)
        else:
            self.outlet.announce()

    # From bytes to messages.

    def _advance(self) -> None:
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._guarded(self._step):
                pass
        finally:
            self._advancing = False
        self._outbox.flush()
        waits = self._held or self._stint.rests or self._resting or self.outlet.clogged
        if self.outlet.client_shut and self.at_boundary and not waits:
            self.outlet.close()
        self._regulate()

    def _step(self) -> bool:
        """Go one message further; whether it is worth trying again."""
        course = self.outlet.course
        if course is Course.LEAVING:
            return self._come_to_rest()
        waits = self._held or self._stint.rests or self.outlet.clogged
        if self._outbox.call is not None or course is not Course.OPEN or waits:
            return False
        started = monotonic_ns()
        generation = self._site.admission.admit()
        if generation is None:
            self._held = len(self._inbox) > 0
            return False
        if self._session.outdated:
            self._outbox.flush()
        target = self._session.turn_to(generation)
        if target is None:
            if self._inbox:
                self._say_goodbye(Goodbye.UNSERVED)
            return False
        taken = self._inbox.take(target.pipeline.codec)
        if taken is not None and self.outlet.course is Course.OPEN:
            self._dispatch(taken[0], target, started)
            return True
        return False

    def _dispatch(self, message: Any, target: MessageTarget, started: int) -> None:
        call = self._session.call(target, started)
        self._outbox.begin(call)
        self.requests += 1
        self._stint.spend(1, self._advance)
        start(target.pipeline.steps(message, call), call, self._site.context.copy(), self._conclude)

    def _conclude(self, call: MessageCall, goodbye: Goodbye | None) -> None:
        """The message is answered, or never will be."""
        self._outbox.end()
        if self.outlet.course is Course.CLOSED:
            self._guarded(self._session.end)
        call.lease.release()
        if goodbye is not None:
            self._say_goodbye(goodbye)
        elif self.outlet.course is Course.LAST or self._site.stopping:
            self._say_goodbye(self._last)
        self._advance()
        self._outbox.let_go()

    def _catch_up(self) -> None:
        """Belong to the generation that serves, between two messages."""
        self._outbox.flush()
        generation = self._site.admission.admit()
        if generation is not None:
            self._session.turn_to(generation)

    @property
    def _resting(self) -> bool:
        """Whether it waits to go on elsewhere: what it has read is somebody else's to answer."""
        over = self.outlet.client_shut and not self._inbox
        return self.outlet.course is Course.LEAVING and self.at_boundary and not over

    def _come_to_rest(self) -> bool:
        """Say that nothing is under way, if so and if it matters; there is no further message for this process."""
        if not self._resting:
            return False
        if self.parting is Parting.STAYS:
            if self._inbox:
                self._say_goodbye(Goodbye.LEAVING)
            return False
        self._outbox.flush()
        if self.outlet.is_written():
            self._session.part()
            self._owner.rested(self)
        return False

    def _regulate(self) -> None:
        """Read, or stop reading, according to what there is room for."""
        full = self._inbox.room <= 0 or (self.parting is Parting.RESTS and self._resting)
        if (full or not self._reading) and not self.outlet.client_shut and not self.outlet.closing:
            self._reading = not full  # a loop may read after `connection_made` what was paused before
            if full:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    # The end.

    def _guarded(self, call: Callable[[], bool | None]) -> bool:
        """Run what may run user code between two messages; its failure ends the connection."""
        try:
            return bool(call())
        except MalformedMessage:
            self._say_goodbye(Goodbye.MALFORMED)
        except BaseException as error:  # noqa: BLE001 - whatever user code raises is its own failure
            self._fail(error)
        return False

    def _fail(self, error: BaseException) -> None:
        self._session.report(error, connected=not self.outlet.ended)
        self._say_goodbye(Goodbye.FAILED)

    def _say_goodbye(self, goodbye: Goodbye | None) -> None:
        """Close, with the protocol's own word for the reason where there is a reason and a word."""
        if self.outlet.ended:
            return
        self._outbox.flush()
        word = self._session.word(goodbye)
        if self._outbox.pressure is Pressure.GONE:
            self.outlet.close()
            return
        if word:
            self.outlet.send((word,), len(word))
        self._inbox.clear()
        self.outlet.linger()
        self._regulate()
