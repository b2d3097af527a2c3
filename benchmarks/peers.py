"""The same application, the same load and the same SIGHUP: what each server does to its clients.

Each server runs the application with four workers and is told to reload with SIGHUP, three times per round (ours ten
times) with new code each time, always only after the last reload has come to its end. Servers take turns. Then each is
started afresh and told to reload code that raises on import, and once more code whose startup fails in every process
but the first.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.chart import Chart, Series, Style
from benchmarks.contents import FIRST
from benchmarks.environment import installed
from benchmarks.figures import spread
from benchmarks.load.process import running, total
from benchmarks.load.record import CLOSES, QUICK, UNFAILED, Fault, Mix
from benchmarks.machine import here
from benchmarks.network import leave_for_own, migrate_queued
from benchmarks.publication import Result, Verdict, parser, publish
from benchmarks.samples import Sample, samples
from benchmarks.servers import (
    CHANGEOVER,
    GRANIAN,
    GUNICORN_ASGI,
    GUNICORN_UVICORN,
    HYPERCORN,
    UVICORN,
    Command,
    Server,
    served,
    settled,
)

NAME = "peers"
COMPARED = (CHANGEOVER, GUNICORN_UVICORN, GUNICORN_ASGI, UVICORN, GRANIAN, HYPERCORN)
WORKERS = 4
MIX = Mix()
STEADY = 3.0
"""Seconds of load before the first SIGHUP: what is closed then is not the reload's doing."""
ALONE = 2.0
"""Seconds for which only the new version must have answered new connections before the next SIGHUP."""
RELOAD = 90.0
"""Seconds until a reload has come to its end."""
LAST = 3.0
"""Seconds at the end of the time for which a server with broken code is watched, by which it is judged."""
MIXED = 0.1
"""Most seconds between the first start of a request on the new version and the last on the old, for changeover: the
application stamps starts itself here, after the worker has chosen for it."""
UNMIGRATED = "without root, net.ipv4.tcp_migrate_req is as the machine has it; granian's documentation asks for 1"

RAISES = 'raise RuntimeError("broken on import")\n'
"""Broken for all."""
ONLY_FIRST = """
async def _startup():
    import os
    try:
        os.close(os.open({first!r}, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return {{"type": "lifespan.startup.failed", "message": "only the first process starts"}}
    return {{"type": "lifespan.startup.complete"}}
"""
"""Broken in every process but the first."""


class Parameters(msgspec.Struct, frozen=True):
    """How long a run is.

    Attributes:
        rounds: Times that each server is started afresh and reloaded.
        reloads: In each round.
        ours: The same for changeover: what is promised never to happen is looked for more often.
        watched: Seconds for which a server is watched that was told to reload broken code.
    """

    rounds: int = 2
    reloads: int = 3
    ours: int = 10
    watched: float = 30.0


QUICK_RUN = Parameters(1, 1, 1, 8.0)


class Reloads(msgspec.Struct, frozen=True):
    """What one server's clients met in one round, from the first SIGHUP on.

    Attributes:
        answers: Whole, right answers.
        failed: Requests without one.
        closed: Connections that the server closed, unasked.
        early: The same two before the first SIGHUP, together.
        mixed: For each reload, seconds from the first start of a request on the new version to the last on the old.
        took: For each reload, seconds from SIGHUP to the last start on the old version.
        longest: The longest wait for an answer that the server gives at once, seconds.
    """

    answers: int
    failed: int
    closed: int
    early: int
    mixed: tuple[float, ...]
    took: tuple[float, ...]
    longest: float


class Broken(msgspec.Struct, frozen=True):
    """What became of a server that was told to reload broken code.

    Attributes:
        words: In words.
        serves: Whether it is there and only the old version answers.
        failed: Requests without an answer from SIGHUP on.
        closed: Connections closed unasked from SIGHUP on.
    """

    words: str
    serves: bool
    failed: int
    closed: int


class Figures(msgspec.Struct, frozen=True):
    """All of one server.

    Attributes:
        name: Its name.
        rounds: Its reloads.
        raising: Code that raises on import.
        partial: Code that starts in the first process only.
    """

    name: str
    rounds: tuple[Reloads, ...]
    raising: Broken
    partial: Broken


class PeersResult(Result, frozen=True, kw_only=True):
    """What the command found; changeover first."""

    servers: tuple[Figures, ...]


def main(arguments: list[str]) -> int:
    """Compare; the status is 1 when a promise did not hold, and another where the peers cannot be installed."""
    options = parser(f"benchmarks.{NAME}", __doc__).parse_args(arguments)
    machine = here(f"benchmarks.{NAME}")
    commands = installed()
    notes = () if leave_for_own() and migrate_queued() else (UNMIGRATED,)
    parameters = QUICK_RUN if options.quick else Parameters()
    found: dict[str, list[Reloads]] = {command.name: [] for command in COMPARED}
    for number in range(parameters.rounds):
        for command in (*COMPARED[number:], *COMPARED[:number]):
            reloads = parameters.ours if command is CHANGEOVER else parameters.reloads
            found[command.name].append(reloaded(commands, command, reloads))
    servers = tuple(
        Figures(
            command.name,
            tuple(found[command.name]),
            broken(commands, command, parameters.watched, partial=False),
            broken(commands, command, parameters.watched, partial=True),
        )
        for command in COMPARED
    )
    ours, count = parameters.rounds * parameters.ours, parameters.rounds * parameters.reloads
    result = PeersResult(
        title=f"{ours} reloads of changeover and {count} of each peer by SIGHUP under mixed load, {WORKERS} workers",
        machine=machine,
        quick=options.quick,
        verdicts=_verdicts(servers[0]),
        rows=_rows(servers),
        notes=(*notes, *_commands()),
        servers=servers,
    )
    return publish(NAME, result, _chart(servers), options.out)


def reloaded(binaries: Path, command: Command, reloads: int) -> Reloads:
    """Reload so many times under load."""
    with served(binaries, command, WORKERS) as server, running(server.address, MIX) as load:
        time.sleep(STEADY)
        asked: list[int] = []
        for _ in range(reloads):
            marker = server.contents.renew()
            asked.append(time.monotonic_ns())
            server.hang_up()
            settled(server, marker, ALONE, RELOAD)
        reports = load.stop()
    answers = list(samples(reports))
    faults = [(trouble.at, trouble.fault) for trouble in total(reports).troubles]
    early = [fault for at, fault in faults if at < asked[0]]
    spans = [_span(answers, at, version) for version, at in enumerate(asked, start=FIRST)]
    totals = total(reports)
    return Reloads(
        answers=sum(sample.done >= asked[0] for sample in answers),
        failed=totals.failed - _count(early, failing=True),
        closed=totals.closed - _count(early, failing=False),
        early=len(early),
        mixed=tuple(mixed for mixed, _ in spans),
        took=tuple(took for _, took in spans),
        longest=max(sample.latency for sample in answers if sample.kind in QUICK and sample.done >= asked[0]) / 1e3,
    )


def _span(answers: Sequence[Sample], asked: int, version: int) -> tuple[float, float]:
    """For how long both versions were begun with, and how long after SIGHUP the old one was, seconds."""
    old = max((sample.started for sample in answers if sample.epoch == version), default=asked)
    new = min((sample.started for sample in answers if sample.epoch == version + 1), default=old)
    return max(0, old - new) / 1e9, max(0, old - asked) / 1e9


def _count(faults: Sequence[Fault], *, failing: bool) -> int:
    return sum(fault not in UNFAILED if failing else fault in CLOSES for fault in faults)


def broken(binaries: Path, command: Command, watched: float, *, partial: bool) -> Broken:
    """Have code reloaded that is broken in every process, or in every process but the first."""
    with served(binaries, command, WORKERS) as server, running(server.address, MIX) as load:
        server.contents.renew()
        if partial:
            first = server.contents.folder.parent / "first"
            server.contents.append("main.py", ONLY_FIRST.format(first=str(first)))
        else:
            server.contents.append("content.py", RAISES)
        asked = time.monotonic_ns()
        server.hang_up()
        ended = _watch(server, watched)
        end = time.monotonic_ns()
        reports = load.stop()
    totals = total(reports)
    early = [trouble.fault for trouble in totals.troubles if trouble.at < asked]
    last = {sample.epoch for sample in samples(reports) if end - LAST * 1e9 < sample.done < end}
    return Broken(
        words=f"down after {ended:.1f} s, status {server.status}" if ended else _WORDS[frozenset(last)],
        serves=not ended and last == {FIRST},
        failed=totals.failed - _count(early, failing=True),
        closed=totals.closed - _count(early, failing=False),
    )


_WORDS = {
    frozenset({FIRST}): "old version serves on",
    frozenset({FIRST + 1}): "broken version serves",
    frozenset({FIRST, FIRST + 1}): "both versions answer, for good",
    frozenset[int](): "there, and answers nothing",
}


def _watch(server: Server, seconds: float) -> float:
    """Watch it for so long; seconds after which it was gone, 0 when it is not."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        time.sleep(0.05)
        if server.status is not None:
            return time.monotonic() - began
    return 0.0


def _verdicts(ours: Figures) -> tuple[Verdict, ...]:
    failed = sum(each.failed + each.early for each in ours.rounds)
    closed = sum(each.closed for each in ours.rounds)
    mixed = max(mixed for each in ours.rounds for mixed in each.mixed)
    cases = {"code that raises on import": ours.raising, "code that starts in one process only": ours.partial}
    return (
        Verdict("changeover: failed requests", "0", str(failed), not failed),
        Verdict("changeover: connections closed unasked", "0", str(closed), not closed),
        Verdict("changeover: both versions begin requests", f"<= {MIXED:g} s", f"{mixed:.3f} s", mixed <= MIXED),
        *(
            Verdict(f"changeover, {case}", "old version serves on", broken.words, broken.serves)
            for case, broken in cases.items()
        ),
        *(
            Verdict(f"changeover, {case}: failed and closed", "0", f"{lost}", not lost)
            for case, lost in ((case, broken.failed + broken.closed) for case, broken in cases.items())
        ),
    )


def _rows(servers: Sequence[Figures]) -> tuple[tuple[str, ...], ...]:
    head = ("server", "reloads", "answers", "failed", "closed", "both versions, s", "old version's end, s")
    return ((*head, "longest wait, s", "raises on import", "starts in one process only"), *map(_row, servers))


def _row(server: Figures) -> tuple[str, ...]:
    mixed = spread([value for each in server.rounds for value in each.mixed])
    took = spread([value for each in server.rounds for value in each.took])
    sums = (sum(getattr(each, name) for each in server.rounds) for name in ("answers", "failed", "closed"))
    return (
        *(server.name, str(mixed.count), *map(str, sums)),
        *(f"{values.median:.2f} (most {values.worst:.2f})" for values in (mixed, took)),
        f"{max(each.longest for each in server.rounds):.2f}",
        *(_broken(each) for each in (server.raising, server.partial)),
    )


def _broken(broken: Broken) -> str:
    """A server that is down fails everything from then on: how much that is says nothing."""
    counts = f"; {broken.failed} failed, {broken.closed} closed"
    return broken.words if broken.words.startswith("down") else broken.words + counts


def _commands() -> tuple[str, ...]:
    return tuple(f"{command.name}: `{' '.join(command.words)}`" for command in COMPARED)


def _chart(servers: Sequence[Figures]) -> Chart:
    """Every reload: how long both versions answered, and how many connections its round closed on average."""
    series = (
        Series(
            server.name,
            [(each.closed / len(each.mixed), mixed) for each in server.rounds for mixed in each.mixed],
            Style.DOTS,
        )
        for server in servers
    )
    return Chart("Each reload", "connections closed unasked per reload", "seconds of both versions", tuple(series))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
