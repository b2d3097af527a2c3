"""When changed content is taken, as people write it: `on-change`, `every 60s`, `on-signal`, `disabled`."""

import enum

import msgspec

from changeover.workers.protocol.document import duration, nearest

SOONEST = 1.0
"""Seconds: what is looked at more often is better watched."""


class When(enum.Enum):
    """What it takes for changed content to be taken."""

    ON_CHANGE = "on-change"
    """That it changed."""
    EVERY = "every"
    """That it is time to look."""
    ON_SIGNAL = "on-signal"
    """That somebody asks: a command, or HUP."""
    DISABLED = "disabled"
    """A restart."""


class Reload(msgspec.Struct, frozen=True):
    """When changed content is taken. Somebody who asks gets everything that is not disabled.

    Attributes:
        when: What it takes.
        seconds: Between two looks, for `When.EVERY`; 0 otherwise.
    """

    when: When
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.when.value} {self.seconds:g}s" if self.when is When.EVERY else self.when.value

    @property
    def automatic(self) -> bool:
        """Whether nobody has to ask."""
        return self.when in (When.ON_CHANGE, When.EVERY)


ON_CHANGE, ON_SIGNAL, DISABLED = Reload(When.ON_CHANGE), Reload(When.ON_SIGNAL), Reload(When.DISABLED)


def read_reload(written: str) -> Reload:
    """Read when changed content is taken.

    Raises:
        ValueError: It is none of the forms, and what they are.
    """
    word, _, rest = written.strip().partition(" ")
    if word == When.EVERY.value and rest:
        seconds = duration(rest)
        if seconds < SOONEST:
            raise ValueError(f"{written!r} is too often: at least every {SOONEST:g}s, or on-change")
        return Reload(When.EVERY, seconds)
    plain = {str(each): each for each in (ON_CHANGE, ON_SIGNAL, DISABLED)}
    if written not in plain:
        forms = "one of on-change, on-signal, disabled, or `every 60s`"
        raise ValueError(f"{written!r} is not {forms}{nearest(written, plain)}")
    return plain[written]
