"""What happened, for people: the tail of it is printed when a schedule fails."""

import re
from collections import deque

TAIL = 80


class Trace:
    """The last things that happened.

    Args:
        keep: How many; None keeps all.
    """

    __slots__ = ("lines",)

    def __init__(self, keep: int | None = TAIL) -> None:
        self.lines: deque[tuple[float, str, object]] = deque(maxlen=keep)

    def note(self, now: float, who: str, what: object) -> None:
        """Remember one thing; it is worded only when somebody reads it."""
        self.lines.append((now, who, what))

    def __str__(self) -> str:
        return "\n".join(f"{now:9.4f}  {who:<12} {words(what)}" for now, who, what in self.lines)


def words(what: object) -> str:
    """One thing in one line; snapshots and units by their numbers only."""
    text = _UNIT.sub(r"\1@\2", str(what))
    return _LONG.sub(r"Snapshot(\1)", text)


_UNIT = re.compile(r"UnitKey\(ref=UnitRef\(kind=<[^>]*>, name='[^']*'\), digest='([^']*)', since=(\d+)\)")
_LONG = re.compile(r"Snapshot\(epoch=(\d+), .*?label='[^']*'\)")
