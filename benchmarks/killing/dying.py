"""The command `changeover` whose supervisor sends itself a signal at the moment that a file names: KILL, as a rule.

The file lies in the folder in which it runs and is looked at again at every step, so that the same supervisor serves
in peace until the file is there. Nothing of the product is changed: what the driver does and hears is watched.
"""

import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.killing.moments import Moment, Side
from changeover.supervisor.cli import main as changeover
from changeover.supervisor.core import effects, entries, events
from changeover.supervisor.core.effects import Effect
from changeover.supervisor.core.events import Event
from changeover.supervisor.core.machine import Machine
from changeover.supervisor.driver import Driver, Hands

FILE = Path("die-at")
"""Names the moment."""


class Steps:
    """Gives every effect and event the name of its step."""

    def __init__(self) -> None:
        self._entries: dict[int, entries.JournalEntry] = {}

    def name(self, what: Effect | Event) -> str:
        """Which step it is."""
        match what:
            case effects.Persist(ticket, entry):
                self._entries[ticket] = entry
                return f"write {_name(entry)}"
            case events.Persisted(ticket):
                return f"{_name(self._entries.get(ticket))} written"
            case effects.Broadcast(message) | effects.Unicast(message=message):
                return f"send {_name(message)}"
            case events.Received(message):
                return f"hear {_name(message)}"
            case _:
                return _name(what)


class Watch:
    """Counts steps from when a moment is named.

    Args:
        signal: Sends this process a signal, when the moment has come.
    """

    def __init__(self, signal: Callable[[int], None]) -> None:
        self._signal = signal
        self._steps = Steps()
        self._named = b""
        self._moment: Moment | None = None
        self._seen: list[Effect | Event] = []

    def passes(self, side: Side, what: Effect | Event) -> None:
        """A step is reached, or done."""
        step = self._steps.name(what)
        self._look()
        if self._moment is None or step != self._moment.step:
            return
        if not self._is_known(what):
            self._seen.append(what)
        if side is self._moment.side and len(self._seen) == self._moment.count:
            number, self._moment = self._moment.signal, None
            self._signal(number)

    def _look(self) -> None:
        try:
            named = FILE.read_bytes()
        except FileNotFoundError:
            named = b""
        if named != self._named:
            self._named, self._seen = named, []
            self._moment = msgspec.json.decode(named, type=Moment) if named else None

    def _is_known(self, what: Effect | Event) -> bool:
        return any(what is seen or _speakers(what) & _speakers(seen) for seen in self._seen)


def _speakers(what: Effect | Event) -> frozenset[object]:
    return frozenset((what.message.worker,)) if isinstance(what, events.Received) else frozenset()


def _name(what: object) -> str:
    return type(what).__name__


def watch(mind: Watch) -> None:
    """Have every driver and machine of this process watched."""
    handle, attach = Machine.handle, Driver.attach

    def handling(machine: Machine, event: Event, now: float) -> Iterator[Effect]:
        mind.passes(Side.BEFORE, event)
        yield from handle(machine, event, now)
        mind.passes(Side.AFTER, event)

    def perform(act: Callable[[Any], None], effect: Effect) -> None:
        mind.passes(Side.BEFORE, effect)
        act(effect)
        mind.passes(Side.AFTER, effect)

    def attached(driver: Driver, hands: Hands) -> None:
        attach(driver, hands)
        feeder = driver._feeder
        feeder.perform = {kind: partial(perform, act) for kind, act in feeder.perform.items()}

    Machine.handle = handling  # type: ignore[method-assign,assignment]
    Driver.attach = attached  # type: ignore[method-assign,assignment]


def main() -> None:
    """Be the command."""
    watch(Watch(signal.raise_signal))
    changeover(prog_name="changeover")


if __name__ == "__main__":
    main()
