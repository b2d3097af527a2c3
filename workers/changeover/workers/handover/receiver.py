"""The worker that stays: whom it takes connections from, and how many may be on their way to it."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from changeover.workers.handover import adoption, effects, events, inbound
from changeover.workers.handover.effects import Effect
from changeover.workers.handover.events import Event
from changeover.workers.handover.messages import (
    HANDOVER_VERSION,
    MOST_CREDIT,
    STATE_VERSION,
    Adopted,
    Credit,
    Declined,
    Denial,
    Denied,
    Fault,
    StateRefused,
    StateTaken,
    Welcomed,
)

LOW_CREDIT = MOST_CREDIT // 2
"""Credit is given again when no more than this is left."""
INTRODUCTION = 5.0
"""Seconds that a sender has to introduce itself."""
RECHECK = 0.1
"""Seconds until room is looked for again."""


@dataclass(slots=True)
class _Arrival:
    id: int
    state: adoption.State = adoption.TABLE.start


@dataclass(slots=True)
class _Link:
    id: int
    since: float
    state: inbound.State = inbound.TABLE.start
    credit: int = 0
    arrivals: dict[int, _Arrival] = field(default_factory=dict)

    def move(self, cause: inbound.Cause) -> None:
        self.state = inbound.TABLE.after(self.state, cause)


class Receiver:
    """Everything that a worker which stays decides about connections of others.

    Args:
        journal: The journal it belongs to.

    Attributes:
        denials: How many senders were denied, by reason.
        faults: How many connections were not adopted, by reason.
        adopted: How many were.
    """

    def __init__(self, journal: str) -> None:
        self.denials: Counter[Denial] = Counter()
        self.faults: Counter[Fault] = Counter()
        self.adopted = 0
        self._journal = journal
        self._links: dict[int, _Link] = {}
        self._room = events.Room(0, 0)
        self._connections = 0
        self._wake: float | None = None
        self._effects: list[Effect] = []
        self._events: dict[type[Event], Callable[[Any, float], None]] = {
            events.LinkMade: self._made,
            events.Introduced: self._introduced,
            events.Arrived: self._arrived,
            events.Standing: self._stand,
            events.Said: self._said,
            events.Unsaid: self._unsaid,
            events.StateArrived: self._state_arrived,
            events.StateJudged: self._state_judged,
            events.Nonsense: self._deny,
            events.SenderEnded: self._ended,
            events.Woken: self._woken,
        }

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        """Take in what happened at `now` (monotonic seconds), and say what is to be done, in order.

        Raises:
            BugFound: Our own code broke its tables.
        """
        self._events[type(event)](event, now)
        self._set_alarm(now)
        wanted, self._effects = self._effects, []
        return wanted

    # ---- links ----

    def _made(self, event: events.LinkMade, now: float) -> None:
        self._links[event.link] = _Link(event.link, now)

    def _introduced(self, event: events.Introduced, now: float) -> None:
        link = self._links.get(event.link)
        if link is None:
            return
        if not inbound.TABLE.lists(link.state, inbound.Cause.INTRODUCED):
            self._close(link)
            return
        denial = self._denial(event)
        if denial is None:
            link.move(inbound.Cause.INTRODUCED)
            self._effects.append(effects.Say(link.id, Welcomed(STATE_VERSION)))
            self._grant()
        else:
            self.denials[denial] += 1
            self._effects.append(effects.Say(link.id, Denied(denial)))
            self._close(link)

    def _denial(self, event: events.Introduced) -> Denial | None:
        if event.introduction.protocol != HANDOVER_VERSION:
            return Denial.VERSION
        return Denial.FOREIGN if event.introduction.stamp.journal != self._journal else None

    def _deny(self, event: events.Nonsense, now: float) -> None:
        link = self._links.get(event.link)
        if link is not None:
            self._close(link)

    def _close(self, link: _Link) -> None:
        link.move(inbound.Cause.DENIED)
        del self._links[link.id]
        self._effects.append(effects.HangUp(link.id))

    def _unsaid(self, event: events.Unsaid, now: float) -> None:
        """What cannot be said leaves a sender that lives its connections, and those of one that is gone to us."""
        link = self._links.get(event.link)
        if link is None:
            return
        arrivals, link.arrivals = link.arrivals, {}
        for arrival in arrivals.values():
            self._settle(link, arrival, adoption.Cause.INHERITED if event.gone else adoption.Cause.UNTOLD)
        if event.gone:
            link.move(inbound.Cause.GONE)
        else:
            self._close(link)

    def _ended(self, event: events.SenderEnded, now: float) -> None:
        link = self._links.pop(event.link, None)
        if link is not None:
            link.move(inbound.Cause.ENDED)
            self._effects.append(effects.HangUp(link.id))
            self._grant()

    # ---- connections ----

    def _arrived(self, event: events.Arrived, now: float) -> None:
        link = self._links.get(event.link)
        known = link is not None and link.state is not inbound.State.STRANGER
        for arrival in event.arrivals:
            if arrival.whole and not known:
                self._effects.append(effects.Drop(event.link, arrival.id))
        if link is None:
            return
        if known:
            self._judge(link, event.arrivals)
        else:
            self._close(link)

    def _judge(self, link: _Link, arrivals: Sequence[events.Arrival]) -> None:
        granted = link.credit
        covered = min(granted, self._room.space)
        link.credit = max(0, granted - len(arrivals))
        good = tuple(arrival.id for arrival in arrivals[:covered] if arrival.whole)
        for arrival in arrivals:
            if arrival.whole:
                link.arrivals[arrival.id] = _Arrival(arrival.id)
        if link.state is inbound.State.BEREFT:
            self._inherit(link)
            return
        if good:  # first: if anything cannot be said, all that is not said yet is the sender's
            self._effects.append(effects.Say(link.id, Adopted(good)))
        for place, arrival in enumerate(arrivals):
            if place >= covered or not arrival.whole:
                self._decline(link, arrival, Fault.OVERDRAWN if place >= granted else Fault.FULL)

    def _decline(self, link: _Link, arrival: events.Arrival, uncovered: Fault) -> None:
        fault = uncovered if arrival.whole else Fault.BARE
        self.faults[fault] += 1
        self._effects.append(effects.Say(link.id, Declined(arrival.id, fault)))

    def _inherit(self, link: _Link) -> None:
        arrivals, link.arrivals = link.arrivals, {}
        for arrival in arrivals.values():
            self._settle(link, arrival, adoption.Cause.INHERITED)

    def _said(self, event: events.Said, now: float) -> None:
        link = self._links.get(event.link)
        if link is None:
            return
        answer = event.answer
        if isinstance(answer, Adopted):
            ids, cause = answer.ids, adoption.Cause.PROMISED
        else:
            ids, cause = (answer.id,), adoption.Cause.DECLINED
        for id in ids:
            arrival = link.arrivals.pop(id, None)
            if arrival is not None:
                self._settle(link, arrival, cause)
        self._grant()

    def _settle(self, link: _Link, arrival: _Arrival, cause: adoption.Cause) -> None:
        arrival.state = adoption.TABLE.after(arrival.state, cause)
        if arrival.state is adoption.State.ADOPTED:
            self.adopted += 1
            self._connections += 1
            self._room = events.Room(self._room.expected - 1, self._room.space - 1)
            self._effects.append(effects.Adopt(link.id, arrival.id))
        else:
            self._effects.append(effects.Drop(link.id, arrival.id))

    # ---- the state of plugins ----

    def _state_arrived(self, event: events.StateArrived, now: float) -> None:
        link = self._links.get(event.link)
        if link is None or link.state is inbound.State.STRANGER:
            self._effects.append(effects.Forget(event.link, event.id))
        else:
            self._effects.append(effects.Take(event.link, event.id))
        if link is not None and link.state is inbound.State.STRANGER:
            self._close(link)

    def _state_judged(self, event: events.StateJudged, now: float) -> None:
        """What was taken stays so, whether or not its sender can still be told."""
        link = self._links.get(event.link)
        if link is not None and link.state is inbound.State.KNOWN:
            told = StateTaken(event.id) if event.refusal is None else StateRefused(event.id, event.refusal)
            self._effects.append(effects.Say(link.id, told))

    # ---- credit ----

    def _stand(self, event: events.Standing, now: float) -> None:
        self._room, self._connections = event.room, event.connections
        self._grant()

    def _grant(self) -> None:
        """Share out the room that is not granted yet among the links that run low."""
        needy = self._needy()
        free = self._room.expected - sum(link.credit for link in self._links.values())
        for place, link in enumerate(needy):
            more = min(MOST_CREDIT - link.credit, free // (len(needy) - place))
            if more > 0:
                free -= more
                link.credit += more
                self._effects.append(effects.Say(link.id, Credit(more, self._connections)))

    def _needy(self) -> list[_Link]:
        return [
            link for link in self._links.values() if link.state is inbound.State.KNOWN and link.credit <= LOW_CREDIT
        ]

    # ---- time ----

    def _woken(self, event: events.Woken, now: float) -> None:
        self._wake = None
        for link in tuple(self._links.values()):
            if link.state is inbound.State.STRANGER and link.since + INTRODUCTION <= now:
                self._close(link)

    def _set_alarm(self, now: float) -> None:
        """Ask to be woken as long as a link waits for room, or for its sender's name."""
        strangers = [link for link in self._links.values() if link.state is inbound.State.STRANGER]
        if self._needy():
            at: float | None = now + RECHECK
        else:
            at = min((link.since + INTRODUCTION for link in strangers), default=None)
        if (at is None) != (self._wake is None) or (at is not None and self._wake is not None and at < self._wake):
            self._wake = at
            self._effects.append(effects.Wake(at))
