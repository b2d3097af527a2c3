"""Which pipeline events are told, and when: the first of its kind at once, those like it together, later. Pure.

So a handler that fails at every request costs a line every `RHYTHM` seconds, which says how often it did.
"""

from dataclasses import dataclass

from changeover.workers.protocol.observed import PipelineEvent, PipelineEventKind, Repeated

RHYTHM = 10.0
"""Seconds after which an event like one that was told is told again."""
MOST = 32
"""Most events that wait to be told by name; what comes on top is told by its kind alone."""

OF_CUTOVERS = frozenset(
    {
        PipelineEventKind.ASSEMBLED,
        PipelineEventKind.ACTIVATED,
        PipelineEventKind.DRAINED,
        PipelineEventKind.INITIALIZER_FAILED,
    }
)
"""Kinds that happen once for each cutover, and so are alike only with the same detail: the epoch, or why it failed."""

_Likeness = tuple[PipelineEventKind, str, str, str]


@dataclass(slots=True)
class _Waiting:
    event: PipelineEvent
    count: int = 0


class Digest:
    """Takes events and hands out few: at most one of the same kind, pipeline and subject every `RHYTHM` seconds.

    Those of cutovers are few already: none waits for another that says something else.
    """

    __slots__ = ("_told", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[_Likeness, _Waiting] = {}
        self._told: dict[_Likeness, float] = {}

    def note(self, event: PipelineEvent) -> bool:
        """An event happened; whether nothing like it waited, so that it may be due before all that does."""
        likeness = _likeness(event)
        if likeness not in self._waiting and len(self._waiting) >= MOST:
            event = PipelineEvent(event.kind, detail=event.detail)
            likeness = (event.kind, "", "", "")
        begins = likeness not in self._waiting
        waiting = self._waiting.setdefault(likeness, _Waiting(event))
        waiting.event = event
        waiting.count += 1
        return begins

    def wait(self, now: float) -> float | None:
        """Seconds until there is something to tell; None while nothing waits."""
        due = min((self._due(likeness) for likeness in self._waiting), default=None)
        return None if due is None else max(0.0, due - now)

    def take(self, now: float) -> tuple[Repeated, ...]:
        """What is to be told now, in the order in which it began."""
        ripe = [likeness for likeness in self._waiting if self._due(likeness) <= now]
        self._told = {likeness: at for likeness, at in self._told.items() if at + RHYTHM > now}
        return tuple(self._tell(likeness, now) for likeness in ripe)

    def rest(self, now: float) -> tuple[Repeated, ...]:
        """All that waits, due or not: the worker leaves."""
        return tuple(self._tell(likeness, now) for likeness in tuple(self._waiting))

    def _due(self, likeness: _Likeness) -> float:
        told = self._told.get(likeness)
        return float("-inf") if told is None else told + RHYTHM

    def _tell(self, likeness: _Likeness, now: float) -> Repeated:
        waiting = self._waiting.pop(likeness)
        self._told[likeness] = now
        return Repeated(waiting.event, waiting.count)


def _likeness(event: PipelineEvent) -> _Likeness:
    return event.kind, event.pipeline, event.subject, event.detail if event.kind in OF_CUTOVERS else ""
