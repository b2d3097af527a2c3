"""Whether an answer is whole, right, and from exactly one epoch."""

import re
from dataclasses import dataclass

from benchmarks.load.answer import Answer
from benchmarks.load.record import Fault

EPOCH_FIELD = b"x-changeover-epoch"
_LINE = re.compile(rb"epoch=(\d+) slot=(\d+) started=(\d+) marker=(\S+)\n")


@dataclass(frozen=True, slots=True)
class Expected:
    """What a right answer looks like: so many equal lines that name who made them, around an echo.

    Attributes:
        lines: How many lines, those around an echo included.
        echo: What stands between the first line and the last; empty for nothing.
        closing: Whether the request asked for the end of the connection.
    """

    lines: int = 1
    echo: bytes = b""
    closing: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """Who made an answer.

    Attributes:
        epoch: As every piece of it says.
        slot: The worker's.
        started: When the worker stamped the request, CLOCK_MONOTONIC in nanoseconds.
        marker: What the code that ran calls itself; new in each content.
    """

    epoch: int
    slot: int
    started: int
    marker: str


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why an answer counts as failed."""

    fault: Fault
    detail: str


def judge(answer: Answer, expected: Expected) -> Identity | Wrong:
    """Say who made `answer`, or what is wrong with it."""
    if answer.status != 200:
        return Wrong(Fault.STATUS, f"{answer.status}: {answer.body[:120]!r}")
    lines, echo = _apart(answer.body, expected)
    first = lines[:1]
    if lines == first * expected.lines and echo == expected.echo:
        return _identity(answer, b"".join(first))
    if len({match[1] for match in _LINE.finditer(b"".join(lines))}) > 1:
        return Wrong(Fault.EPOCHS, f"{answer.body[:200]!r}")
    return Wrong(Fault.CONTENT, f"{len(lines)} lines of {expected.lines}, {len(echo)} bytes of {len(expected.echo)}")


def _apart(body: bytes, expected: Expected) -> tuple[list[bytes], bytes]:
    """Lines, and the echo between the first and the last."""
    if not expected.echo:
        return body.splitlines(keepends=True), b""
    first = body.find(b"\n") + 1
    last = first + len(expected.echo)
    return [body[:first], *body[last:].splitlines(keepends=True)], body[first:last]


def _identity(answer: Answer, line: bytes) -> Identity | Wrong:
    match = _LINE.fullmatch(line)
    if match is None:
        return Wrong(Fault.CONTENT, f"{line[:120]!r}")
    epoch, slot, started, marker = match.groups()
    if answer.fields.get(EPOCH_FIELD) != epoch:
        header = answer.fields.get(EPOCH_FIELD, b"(none)").decode("latin-1")
        return Wrong(Fault.EPOCHS, f"the header says epoch {header}, the body {epoch.decode()}")
    return Identity(int(epoch), int(slot), int(started), marker.decode())
