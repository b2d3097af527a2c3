"""A machine is fed in order, and its effects are performed in the order given, whatever performing them causes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from changeover.workers.protocol.feeder import Feeder


@dataclass(frozen=True)
class Say:
    """Tell the number."""

    number: int


@dataclass(frozen=True)
class GoOn:
    """Feed the number that follows."""

    number: int


class Counting:
    """Goes on before it says each number, up to three."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, float]] = []

    def handle(self, event: int, now: float) -> Sequence[Say | GoOn]:
        self.heard.append((event, now))
        return (GoOn(event), Say(event)) if event < 3 else (Say(event),)


class Desk:
    """Performs, and notes what it did and when it was settled."""

    def __init__(self) -> None:
        self.machine = Counting()
        self.noted: list[str] = []
        perform: dict[type[Say | GoOn], Callable[[Any], None]] = {Say: self._say, GoOn: self._go_on}
        self.feeder: Feeder[int, Say | GoOn] = Feeder(
            self.machine, perform, lambda: 7.0, lambda: self.noted.append("settled")
        )

    def _say(self, effect: Say) -> None:
        if effect.number < 0:
            raise ValueError(effect.number)
        self.noted.append(f"said {effect.number}")

    def _go_on(self, effect: GoOn) -> None:
        self.feeder.feed(effect.number + 1)


def test_what_an_effect_causes_waits_until_the_effects_beside_it_are_done() -> None:
    desk = Desk()
    desk.feeder.feed(1)
    assert desk.noted == ["said 1", "said 2", "said 3", "settled"]
    assert desk.machine.heard == [(1, 7.0), (2, 7.0), (3, 7.0)]


def test_an_error_goes_to_whoever_fed_and_what_waits_is_fed_with_the_next_event() -> None:
    desk = Desk()
    with pytest.raises(ValueError, match="-1"):
        desk.feeder.feed(-1)
    assert desk.noted == ["settled"]
    desk.feeder.feed(3)
    assert desk.noted == ["settled", "said 0", "said 3", "said 1", "said 2", "said 3", "settled"]
