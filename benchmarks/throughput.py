"""How many requests one worker answers, and what each costs: changeover beside uvicorn, granian, gunicorn, hypercorn.

All servers of a contest run at the same time, pinned to one core together, and are asked in turns by wrk (WebSockets by
clients of this command) on another core, so that other work on the machine meets all alike. A ratio is the median over
rounds of changeover's figure to the other's in the same round, never one of figures from different times.
"""

import json
import statistics
import sys
from collections.abc import Sequence
from functools import partial

import msgspec

from benchmarks import entrants
from benchmarks.chart import Chart, Series, Style
from benchmarks.contest import Contest, Standing, hold, idle_memory
from benchmarks.conversation import converse
from benchmarks.environment import installed
from benchmarks.load.process import LoadBroken
from benchmarks.machine import here
from benchmarks.publication import Result, Verdict, parser, publish
from benchmarks.servers import Command
from benchmarks.wrk import Errand, press

NAME = "throughput"
IDLE = 1000
"""Connections that are idle beside busy ones."""
WEIGHED = 300
"""Connections that are there before memory is measured over twice as many: one server takes no more than 1,000."""
JSON = json.dumps({"items": [{"id": number, "name": f"item {number}", "price": 9.5} for number in range(23)]})
"""1 KiB."""
UPLOAD = "x" * 2**20
FEW = 8
"""Connections that carry large bodies."""

_ASGI = (entrants.CHANGEOVER, entrants.UVICORN, entrants.GRANIAN, entrants.GUNICORN)
_AHEAD = {command.name: 1.0 for command in _ASGI[1:]}


class Parameters(msgspec.Struct, frozen=True):
    """How long a run is.

    Attributes:
        rounds: Times that each server of a contest is asked.
        seconds: For how long.
    """

    rounds: int = 9
    seconds: int = 2


QUICK_RUN = Parameters(3, 1)
QUICKLY = "a quick run, on a machine with other work on it: it shows that the command works, and proves nothing"


class ThroughputResult(Result, frozen=True, kw_only=True):
    """What the command found.

    Attributes:
        contests: Contest -> its servers, ours first, its floors last.
        memory: Server -> bytes per idle connection.
    """

    contests: dict[str, tuple[Standing, ...]]
    memory: dict[str, float]


def answered(errand: Errand, address: tuple[str, int], seconds: int) -> int:
    """Have wrk ask; how many right answers came.

    Raises:
        LoadBroken: Some were wrong or missing.
    """
    busy = press(address, errand, seconds)
    if busy.errors or not busy.requests:
        raise LoadBroken(f"of {busy.requests} requests failed: {busy.errors}")
    return busy.requests


def _conversing(address: tuple[str, int], seconds: int) -> int:
    return converse(address, 50, seconds)


_HELLO = partial(answered, Errand())
_NATIVE = Contest(
    "native pipeline, three handlers, beside RSGI",
    (entrants.CHANGEOVER_NATIVE, entrants.GRANIAN_RSGI),
    _HELLO,
    {entrants.GRANIAN_RSGI.name: 2.2},
    floors=(entrants.BARE, entrants.PIPELINE),
)
CONTESTS = (
    Contest(
        "ASGI hello",
        (*_ASGI, entrants.HYPERCORN),
        _HELLO,
        {entrants.UVICORN.name: 1.6, entrants.GRANIAN.name: 2.0, entrants.GUNICORN.name: 2.3},
        floors=(entrants.BARE, entrants.CYCLE, entrants.LEASED),
    ),
    _NATIVE,
    Contest("ASGI hello, not pinned", (entrants.CHANGEOVER, entrants.GRANIAN), _HELLO, {}, pinned=False),
    Contest("JSON echo, 1 KiB", _ASGI, partial(answered, Errand("/json", JSON)), _AHEAD),
    Contest("upload, 1 MiB", _ASGI, partial(answered, Errand("/upload", UPLOAD, FEW)), _AHEAD),
    Contest("streamed download, 10 MiB", _ASGI, partial(answered, Errand("/download", "", FEW)), _AHEAD),
    Contest(f"ASGI hello beside {IDLE} idle connections", _ASGI, _HELLO, _AHEAD, idle=IDLE),
    Contest("WebSocket echo", _ASGI, _conversing, _AHEAD),
    Contest(
        "WSGI, Flask hello",
        (entrants.CHANGEOVER_WSGI, entrants.GUNICORN_THREADS, entrants.GRANIAN_WSGI),
        _HELLO,
        {entrants.GUNICORN_THREADS.name: 1.0, entrants.GRANIAN_WSGI.name: 1.0},
        floors=(entrants.HOP,),
    ),
)


def main(arguments: list[str]) -> int:
    """Compare; the status is 1 when a promise did not hold, and another where the peers cannot be installed."""
    options = parser(f"benchmarks.{NAME}", __doc__)
    options.add_argument("--only", default="", help="contests whose name has this in it, without memory")
    given = options.parse_args(arguments)
    machine = here(f"benchmarks.{NAME}")
    commands = installed()
    parameters = QUICK_RUN if given.quick else Parameters()
    contests = [contest for contest in CONTESTS if given.only in contest.name]
    found = {each.name: hold(commands, each, parameters.rounds, parameters.seconds) for each in contests}
    memory = {} if given.only else {each.name: idle_memory(commands, each, WEIGHED) for each in _ASGI}
    result = ThroughputResult(
        title=f"Requests per second of one worker on one core, medians of {parameters.rounds} interleaved rounds",
        machine=machine,
        quick=given.quick or bool(given.only),
        verdicts=(
            *(verdict for contest in contests for verdict in verdicts(contest, found[contest.name])),
            *_memory_verdict(memory),
        ),
        rows=_rows(found, memory),
        notes=(
            *((QUICKLY,) if given.quick else ()),
            *(line for contest in contests for line in reach(contest, found[contest.name])),
            *_notes(found),
        ),
        contests=found,
        memory=memory,
    )
    return publish(NAME, result, _chart(next(iter(found.items()))), given.out)


def verdicts(contest: Contest, standings: Sequence[Standing]) -> Sequence[Verdict]:
    """Whether ours is as much faster than each other entrant as was promised; floors are none."""
    ours, *others = standings
    if not ours.rounds:
        return [Verdict(contest.name, "served", "not served", holds=False)]
    return [_verdict(contest, ours, each) for each in others if each.name in contest.bounds]


def reach(contest: Contest, standings: Sequence[Standing]) -> Sequence[str]:
    """What each floor is to those that ours is to be faster than: what does more per request cannot be much more."""
    bounded = [each for each in standings if each.name in contest.bounds]
    floors = standings[len(contest.entrants) :]
    claims = {floor.name: "; ".join(_to(each, floor) for each in bounded) for floor in floors}
    return [f"{contest.name}: {name}: requests per second to those of {claim}" for name, claim in claims.items()]


def _to(other: Standing, floor: Standing) -> str:
    if not (floor.rounds and other.rounds):
        return f"{other.name}: nothing to compare"
    return f"{other.name}: {_faster(floor, other):.2f} ({_cheaper(floor, other):.2f} by processor time)"


def _faster(ours: Standing, theirs: Standing) -> float:
    return statistics.median(a.rate / b.rate for a, b in zip(ours.rounds, theirs.rounds, strict=True))


def _cheaper(ours: Standing, theirs: Standing) -> float:
    return statistics.median(b.cost / a.cost for a, b in zip(ours.rounds, theirs.rounds, strict=True))


def _verdict(contest: Contest, ours: Standing, other: Standing) -> Verdict:
    """Nothing is shown where the other does not serve: its absence is no victory."""
    bound = contest.bounds[other.name]
    what, least = f"{contest.name}: requests per second to those of {other.name}", f">= {bound:g}"
    if not other.rounds:
        return Verdict(what, least, "nothing to compare with: it does not serve", holds=False)
    faster = _faster(ours, other)
    return Verdict(what, least, f"{faster:.2f} ({_cheaper(ours, other):.2f} by processor time)", faster >= bound)


def _memory_verdict(memory: dict[str, float]) -> Sequence[Verdict]:
    if not memory:
        return []
    ours, *others = memory.values()
    best = min(others)
    return [Verdict("memory per idle connection", f"<= {best:,.0f} bytes", f"{ours:,.0f} bytes", ours <= best)]


def _rows(found: dict[str, tuple[Standing, ...]], memory: dict[str, float]) -> tuple[tuple[str, ...], ...]:
    head = ("what", "server", "requests/s", "processor time, us", "ours to it", "by processor time")
    rows = [_row(name, standings[0], each) for name, standings in found.items() for each in standings]
    ours = next(iter(memory.values()), 0.0)
    rows += [
        ("memory per idle connection", name, f"{size:,.0f} bytes", "", f"{ours / size:.2f}", "")
        for name, size in memory.items()
    ]
    return (head, *rows)


def _row(contest: str, ours: Standing, each: Standing) -> tuple[str, ...]:
    if not each.rounds:
        return contest, each.name, "not served", "", "", ""
    rate = statistics.median(round.rate for round in each.rounds)
    cost = statistics.median(round.cost for round in each.rounds)
    ratios = (f"{_faster(ours, each):.2f}", f"{_cheaper(ours, each):.2f}") if ours.rounds else ("", "")
    return contest, each.name, f"{rate:,.0f}", f"{cost:,.1f}", *ratios


def _notes(found: dict[str, tuple[Standing, ...]]) -> Sequence[str]:
    failed = [
        f"{contest}: {each.name} does not serve it: {each.words.strip().splitlines()[-1]}"
        for contest, standings in found.items()
        for each in standings
        if not each.rounds
    ]
    commands = {command.name: command for contest in CONTESTS for command in contest.asked}
    return [*failed, *map(_told, commands.values())]


def _told(command: Command) -> str:
    return f"{command.name}: `{' '.join(command.words)}`"


def _chart(contest: tuple[str, tuple[Standing, ...]]) -> Chart:
    """Every round of the first contest."""
    name, standings = contest
    series = (
        Series(each.name, [(number, round.cost) for number, round in enumerate(each.rounds, 1)], Style.DOTS)
        for each in standings
    )
    return Chart(f"{name}: what a request costs", "round", "us of processor time", tuple(series))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
