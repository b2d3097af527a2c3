"""Amounts in words: times, ages, how many workers, long lists. Pure."""

from collections.abc import Iterable

MOST_NAMED = 3
"""Most things of a kind that one line names."""

NOT_TAKEN = "not taken: "
"""How a line begins that is about something left out."""
UNUSED = "unused: "
"""How a line begins that is about something without effect."""
IGNORED = "ignored: "
"""How a line begins that is about what is no plugin."""


def seconds(value: float) -> str:
    """A duration for people: `1.1 ms`, `0.62 s`, `4 min`, `2 h`, `3 d`."""
    if value < 0.1:
        return f"{value * 1000:.1f} ms"
    if value < 10:
        return f"{value:.2f} s"
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if value < limit:
            return f"{value / size:.0f} {unit}"
    return f"{value / 86400:.0f} d"


def age(value: float) -> str:
    """How old something is, in whole units: `0 s`, `12 s`, `4 min`, `3 d`."""
    return seconds(value) if value >= 10 else f"{max(value, 0.0):.0f} s"


def workers(count: int) -> str:
    """How many workers: `1 worker`, `4 workers`."""
    return "1 worker" if count == 1 else f"{count} workers"


def in_all(count: int, missing: Iterable[str] = ()) -> str:
    """Whether any is left out: `in its worker`, `in all 4 workers`, `in 3 of 4 workers (slot 2 is starting)`."""
    left_out = list(missing)
    if left_out:
        return f"in {count} of {workers(count + len(left_out))} ({named(left_out)})"
    return "in its worker" if count == 1 else f"in all {count} workers"


def size(value: int) -> str:
    """An amount of memory for people: `340 M`, `2.1 G`."""
    mebibytes = value / (1 << 20)
    return f"{mebibytes:.0f} M" if mebibytes < 1000 else f"{mebibytes / 1024:.1f} G"


def changes(summary: Iterable[str]) -> str:
    """What an epoch changes, and what it left out, in one line: `explain` has all of it."""
    lines = list(summary)
    parts = [named(line for line in lines if not line.startswith((NOT_TAKEN, UNUSED, IGNORED)))]
    for beginning in (NOT_TAKEN, UNUSED, IGNORED):
        left_out = named(line.removeprefix(beginning) for line in lines if line.startswith(beginning))
        parts.append(f"{beginning}{left_out}" if left_out else "")
    return "; ".join(part for part in parts if part) or "no change of content"


def named(names: Iterable[str]) -> str:
    """Some names in words, each once: `prices.py, shop.py, geo.py and 498 more`."""
    each = list(dict.fromkeys(names))
    more = f" and {len(each) - MOST_NAMED} more" if len(each) > MOST_NAMED else ""
    return ", ".join(each[:MOST_NAMED]) + more
