"""The worker that leaves: which connection is offered to whom, and whose each one is."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from changeover.workers.handover import effects, events, outbound, parting
from changeover.workers.handover.effects import Effect
from changeover.workers.handover.events import Event, Hindrance
from changeover.workers.handover.giving import Giving
from changeover.workers.handover.messages import (
    STATE_VERSION,
    Adopted,
    Credit,
    Declined,
    Denial,
    Denied,
    FromReceiver,
    StateRefused,
    StateTaken,
    Welcomed,
)
from changeover.workers.handover.spread import moment
from changeover.workers.protocol.identity import WorkerId

_held_by: Callable[["_Link"], int] = attrgetter("connections")
SHORTEST_REST, LONGEST_REST = 0.01, 1.0
"""Seconds of a first pause, and of one after many."""


class Pause:
    """Grows with every attempt in vain.

    Attributes:
        until: When it is over.
    """

    __slots__ = ("_length", "until")

    def __init__(self) -> None:
        self._length = SHORTEST_REST
        self.until = 0.0

    def begin(self, now: float) -> None:
        """Pause, twice as long as the last time."""
        self.until = now + self._length
        self._length = min(LONGEST_REST, self._length * 2)

    def forget(self) -> None:
        """Something got through."""
        self._length = SHORTEST_REST


@dataclass(slots=True)
class _Connection:
    id: int
    until: float
    state: parting.State = parting.TABLE.start
    receiver: WorkerId | None = None
    failed: WorkerId | None = None
    alone: bool = False
    pause: Pause | None = None

    def move(self, cause: parting.Cause) -> None:
        self.state = parting.TABLE.after(self.state, cause)


@dataclass(slots=True)
class _Link:
    receiver: WorkerId
    state: outbound.State = outbound.TABLE.start
    credit: int = 0
    connections: int = 0
    state_version: int = 0
    offered: dict[int, _Connection] = field(default_factory=dict)
    pause: Pause = field(default_factory=Pause)

    def move(self, cause: outbound.Cause) -> None:
        self.state = outbound.TABLE.after(self.state, cause)


class Sender:
    """Everything that a worker which leaves decides about its connections.

    Args:
        patience: Seconds that a connection waits to be taken before it is ended.
        window: Seconds over which the ends of those are spread that began to wait together.

    Attributes:
        denials: Receivers that take nothing from this worker, and why.
        strays: Answers about what was not sent.
    """

    def __init__(self, patience: float, window: float = 0.0) -> None:
        self.denials: dict[WorkerId, Denial] = {}
        self.strays = 0
        self._patience = patience
        self._window = window
        self._rested = 0
        self._links: dict[WorkerId, _Link] = {}
        self._waiting: dict[int, _Connection] = {}
        self._offering: dict[int, _Connection] = {}
        self._giving = Giving(lambda effect: self._effects.append(effect))
        self._expiry = float("inf")
        self._wake: float | None = None
        self._effects: list[Effect] = []
        self._events: dict[type[Event], Callable[[Any, float], None]] = {
            events.Connected: self._connected,
            events.Heard: self._heard,
            events.LinkEnded: self._link_ended,
            events.LinkBroken: self._link_broken,
            events.Rested: self._rest,
            events.Sent: self._sent,
            events.NotSent: self._not_sent,
            events.Vanished: self._vanished,
            events.StateReady: self._give,
            events.StateSent: lambda event, now: self._giving.sent(event.id),
            events.StateNotSent: lambda event, now: self._giving.not_sent(event.id),
            events.Woken: self._woken,
            events.Closed: self._closed,
        }
        self._messages: dict[type[FromReceiver], Callable[[_Link, Any, float], None]] = {
            Welcomed: self._welcomed,
            Denied: self._denied,
            Credit: self._credited,
            Adopted: self._adopted,
            Declined: self._declined,
            StateTaken: self._answered_state,
            StateRefused: self._answered_state,
        }

    @property
    def held(self) -> int:
        """How many connections are waiting or offered."""
        return len(self._waiting) + sum(len(link.offered) for link in self._links.values())

    def link(self, receiver: WorkerId) -> outbound.State:
        """How things stand with a receiver."""
        link = self._links.get(receiver)
        return outbound.State.LOST if link is None else link.state

    def takes_state(self, receiver: WorkerId) -> bool:
        """Whether the state of plugins can be sent to a receiver."""
        link = self._links.get(receiver)
        return link is not None and link.state_version == STATE_VERSION

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        """Take in what happened at `now` (monotonic seconds), and say what is to be done, in order.

        Raises:
            BugFound: Our own code broke its tables.
        """
        self._events[type(event)](event, now)
        self._offer(now)
        self._set_alarm(now)
        wanted, self._effects = self._effects, []
        return wanted

    # ---- links ----

    def _connected(self, event: events.Connected, now: float) -> None:
        self._links[event.receiver] = _Link(event.receiver)
        self.denials.pop(event.receiver, None)
        self._effects.append(effects.Introduce(event.receiver))

    def _heard(self, event: events.Heard, now: float) -> None:
        link = self._links.get(event.receiver)
        if link is None:
            return
        if isinstance(event.message, Welcomed | Denied) is (link.state is outbound.State.CONNECTED):
            self._messages[type(event.message)](link, event.message, now)
        else:
            self._give_up(link)

    def _welcomed(self, link: _Link, message: Welcomed, now: float) -> None:
        link.move(outbound.Cause.WELCOMED)
        link.state_version = message.state

    def _denied(self, link: _Link, message: Denied, now: float) -> None:
        self.denials[link.receiver] = message.denial
        self._give_up(link)

    def _credited(self, link: _Link, message: Credit, now: float) -> None:
        link.credit += message.more
        link.connections = message.connections + len(link.offered)

    def _link_ended(self, event: events.LinkEnded, now: float) -> None:
        link = self._links.pop(event.receiver, None)
        if link is None:
            return
        link.move(outbound.Cause.ENDED)
        self._giving.lost(link.receiver)
        self._effects.append(effects.Disconnect(link.receiver))
        for connection in link.offered.values():
            connection.move(parting.Cause.LINK_ENDED)
            self._wait(connection, now)

    def _link_broken(self, event: events.LinkBroken, now: float) -> None:
        link = self._links.get(event.receiver)
        if link is not None:
            self._give_up(link)

    def _give_up(self, link: _Link) -> None:
        del self._links[link.receiver]
        link.move(outbound.Cause.ENDED)
        self._giving.lost(link.receiver)
        self._effects.append(effects.Disconnect(link.receiver))
        for connection in link.offered.values():
            connection.move(parting.Cause.GIVEN_UP)
            self._effects.append(effects.LetGo(connection.id))

    def _hinder(self, link: _Link, now: float) -> None:
        link.move(outbound.Cause.HINDERED)
        link.pause.begin(now)

    # ---- the state of plugins ----

    def _give(self, event: events.StateReady, now: float) -> None:
        if self.takes_state(event.receiver):
            self._giving.begin(event.id, event.receiver)
        else:
            self._effects.append(effects.Settle(event.id, None))

    def _answered_state(self, link: _Link, message: StateTaken | StateRefused, now: float) -> None:
        if not self._giving.answered(link.receiver, message):
            self.strays += 1

    # ---- connections ----

    def _rest(self, event: events.Rested, now: float) -> None:
        for id in event.ids:
            until = now + self._patience + moment(self._rested, self._window)
            self._rested += 1
            self._wait(_Connection(id, until), now)

    def _wait(self, connection: _Connection, now: float) -> None:
        connection.receiver = None
        if connection.until <= now:
            self._end(connection)
        else:
            self._waiting[connection.id] = connection
            if connection.until < self._expiry:
                self._expiry = connection.until

    def _offer(self, now: float) -> None:
        """Offer whatever there is credit for; the answers to that bring the rest."""
        if self._offering or not self._waiting:
            return
        together: dict[WorkerId, list[int]] = {}
        for connection, link in self._placed(now):
            self._offer_to(link, connection)
            if connection.alone:
                self._effects.append(effects.Offer(link.receiver, (connection.id,)))
            else:
                together.setdefault(link.receiver, []).append(connection.id)
        self._effects += [effects.Offer(receiver, tuple(ids)) for receiver, ids in together.items()]

    def _placed(self, now: float) -> list[tuple[_Connection, _Link]]:
        """Which connection goes where, as far as there is credit."""
        placed = list[tuple[_Connection, _Link]]()
        links = [link for link in self._links.values() if link.credit and link.state is outbound.State.OPEN]
        open_to = sorted(links, key=attrgetter("receiver"))
        for connection in self._waiting.values():
            if not open_to:
                break
            if connection.pause is None or connection.pause.until <= now:
                link = _best(open_to, connection.failed)
                placed.append((connection, link))
                link.credit -= 1
                link.connections += 1
                if not link.credit:
                    open_to.remove(link)
        return placed

    def _offer_to(self, link: _Link, connection: _Connection) -> None:
        connection.move(parting.Cause.OFFERED)
        connection.receiver = link.receiver
        del self._waiting[connection.id]
        link.offered[connection.id] = self._offering[connection.id] = connection

    def _sent(self, event: events.Sent, now: float) -> None:
        for id in event.ids:
            del self._offering[id]

    def _not_sent(self, event: events.NotSent, now: float) -> None:
        link = None
        for id in event.ids:
            connection, link = self._take_back(id)
            if link is None:
                continue
            connection.move(parting.Cause.NOT_SENT)
            if event.hindrance is Hindrance.PACKET:
                connection.alone = True
                connection.pause = connection.pause or Pause()
                connection.pause.begin(now)
            self._wait(connection, now)
        if link is not None and event.hindrance is Hindrance.LINK:
            self._hinder(link, now)

    def _vanished(self, event: events.Vanished, now: float) -> None:
        connection, _ = self._take_back(event.id)
        self._waiting.pop(connection.id, None)
        if parting.TABLE.lists(connection.state, parting.Cause.VANISHED):
            connection.move(parting.Cause.VANISHED)

    def _take_back(self, id: int) -> tuple[_Connection, _Link | None]:
        """The connection whose offer did not leave, and its link; None when that was lost meanwhile."""
        connection = self._offering.pop(id)
        link = None if connection.receiver is None else self._links.get(connection.receiver)
        if link is None or connection.id not in link.offered:
            return connection, None
        del link.offered[connection.id]
        link.credit += 1
        link.connections -= 1
        connection.failed = link.receiver
        return connection, link

    def _adopted(self, link: _Link, message: Adopted, now: float) -> None:
        link.pause.forget()
        if link.state is outbound.State.RESTING:
            link.move(outbound.Cause.RESTED)
        for connection in self._answered(link, message.ids):
            connection.move(parting.Cause.ADOPTED)
            self._effects.append(effects.LetGo(connection.id))

    def _declined(self, link: _Link, message: Declined, now: float) -> None:
        for connection in self._answered(link, (message.id,)):
            connection.move(parting.Cause.DECLINED)
            connection.failed = link.receiver
            link.connections -= 1
            if link.state is outbound.State.OPEN:
                self._hinder(link, now)
            self._wait(connection, now)

    def _answered(self, link: _Link, ids: Sequence[int]) -> Iterator[_Connection]:
        for id in ids:
            connection = link.offered.pop(id, None)
            if connection is None:
                self.strays += 1
            else:
                yield connection

    def _end(self, connection: _Connection) -> None:
        connection.move(parting.Cause.OVERDUE)
        self._effects.append(effects.End(connection.id))

    # ---- time ----

    def _woken(self, event: events.Woken, now: float) -> None:
        self._wake = None
        for link in self._links.values():
            if link.state is outbound.State.RESTING and link.pause.until <= now:
                link.move(outbound.Cause.RESTED)
        if self._expiry <= now:
            for connection in [each for each in self._waiting.values() if each.until <= now]:
                del self._waiting[connection.id]
                self._end(connection)
            self._expiry = min((each.until for each in self._waiting.values()), default=float("inf"))

    def _closed(self, event: events.Closed, now: float) -> None:
        self._patience = self._window = 0.0
        for link in tuple(self._links.values()):
            self._give_up(link)
        for connection in self._waiting.values():
            self._end(connection)
        self._waiting.clear()

    def _set_alarm(self, now: float) -> None:
        """Ask to be woken at the next pause's end or deadline, as long as anything waits."""
        at = min(self._times(now), default=None) if self._waiting else None
        if at != self._wake:
            self._wake = at
            self._effects.append(effects.Wake(at))

    def _times(self, now: float) -> Iterator[float]:
        yield self._expiry
        for link in self._links.values():
            if link.state is outbound.State.RESTING:
                yield link.pause.until
        if not self._offering and any(link.credit for link in self._links.values()):
            pauses = (each.pause for each in self._waiting.values() if each.pause is not None)
            yield from (pause.until for pause in pauses if pause.until > now)


def _best(links: Sequence[_Link], failed: WorkerId | None) -> _Link:
    """The first link to a receiver with the fewest connections, another one than failed if there is one."""
    others = links if failed is None else [link for link in links if link.receiver != failed]
    return min(others or links, key=_held_by)
