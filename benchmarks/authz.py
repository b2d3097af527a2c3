"""The authorization example (`examples/authz`): warm decisions beside a native hello, and reloads while it decides.

Rates: one worker, pinned to one core, serves the example and a service that only greets; wrk asks one and the other in
turns from another core. The ratio is the median over rounds of the two rates of the same round.

Reloads: rules and policies change together, again and again, under paced clients and somebody who writes facts, which
empties the cache each time. Rules of one version under policies of another would deny what is asked, so each answer
shows whether it was mixed, and it names the epoch, whose version is known. No answer may be older than an outcome that
was told before it was asked for, or than a fact that was written before. Each answer that differs from the others, in
its epoch or facts, is decided again by the example's `replay.py`, out of what the server keeps.
"""

import asyncio
import contextlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from benchmarks.chart import Chart, Series
from benchmarks.contest import on_core
from benchmarks.deciding import CLIENTS, PACE, WRITE, Answered, Deciding, deciding
from benchmarks.figures import Spread, spread
from benchmarks.load.process import LoadBroken
from benchmarks.machine import here
from benchmarks.publication import Result, Verdict, parser, publish
from benchmarks.subject import SubjectBroken
from benchmarks.window_latency import tail
from benchmarks.wrk import Errand, press
from changeover.server import Committed, Milestone, Server
from tests.authz import VOTE, House, path, replaying

NAME = "authz"
HELLO = Path(__file__).parent / "plugins" / "hello"
LEAST = 0.5
"""Warm decisions per second to those of the hello."""
PAUSE = 0.5
"""Seconds between two reloads."""
SPARE = 5
"""Epochs that the server keeps beside those of the run."""


class Parameters(msgspec.Struct, frozen=True):
    """How long a run is.

    Attributes:
        rounds: Times that each of the two services is asked.
        seconds: For how long.
        workers: Of the server that is reloaded.
        reloads: How often.
    """

    rounds: int = 9
    seconds: int = 2
    workers: int = 4
    reloads: int = 50


QUICK = Parameters(rounds=3, seconds=1, reloads=5)


class Round(msgspec.Struct, frozen=True):
    """Requests per second of one round."""

    hello: float
    decide: float


class AuthzResult(Result, frozen=True, kw_only=True):
    """What the command found.

    Attributes:
        rounds: The rates.
        reloads: Seconds from asking for a reload to its outcome.
        latency: Milliseconds of questions inside and outside of reloads.
    """

    rounds: tuple[Round, ...]
    reloads: tuple[float, ...]
    latency: dict[str, Spread]


def main(arguments: list[str]) -> int:
    """Measure both."""
    options = parser(f"benchmarks.{NAME}", __doc__).parse_args(arguments)
    parameters = QUICK if options.quick else Parameters()
    machine = here(f"benchmarks.{NAME}")
    rounds = asyncio.run(rates(parameters))
    told, windows, repeated = asyncio.run(reloads(parameters))
    latencies = _apart(told.answered, windows)
    result = AuthzResult(
        title=f"Decisions by facts, rules and policies, and {len(windows)} reloads while they are made",
        machine=machine,
        quick=options.quick,
        verdicts=_verdicts(rounds, told, repeated, len(windows)),
        rows=_rows(rounds, latencies),
        notes=_notes(told, repeated, windows),
        rounds=rounds,
        reloads=tuple(ended - began for began, ended in windows),
        latency={name: spread(values) for name, values in latencies.items()},
    )
    return publish(NAME, result, _chart(latencies), options.out)


async def rates(parameters: Parameters) -> tuple[Round, ...]:
    """Ask both services in turns."""
    with tempfile.TemporaryDirectory(prefix="authz-") as folder:
        house = House(Path(folder))
        shutil.copytree(HELLO, house.plugin.parent / HELLO.name)
        async with contextlib.AsyncExitStack() as stack:
            with on_core(_cores()[0]):
                server = await stack.enter_async_context(house.server(1))
            with on_core(_cores()[1]):
                return tuple([_round(server, number, parameters.seconds) for number in range(parameters.rounds)])


def _round(server: Server, number: int, seconds: int) -> Round:
    """Each of the two comes first in every other round."""
    order = ("hello", "decide") if number % 2 else ("decide", "hello")
    found = {name: _rate(server, name, seconds) for name in order}
    return Round(found["hello"], found["decide"])


def _rate(server: Server, name: str, seconds: int) -> float:
    host, _, port = server.addresses[0].rpartition(":")
    busy = press((host, int(port)), Errand({"hello": "/hello", "decide": path(VOTE)}[name]), seconds)
    if busy.errors or not busy.requests:
        raise LoadBroken(f"{name}: of {busy.requests} requests failed: {busy.errors}")
    return busy.requests / seconds


async def reloads(parameters: Parameters) -> tuple[Deciding, list[tuple[float, float]], dict[str, str]]:
    """Reload again and again while it decides; when each reload began and ended, and what repeating came to."""
    windows: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory(prefix="authz-") as folder:
        house = House(Path(folder))
        house.keep(parameters.reloads + SPARE)
        async with house.server(parameters.workers) as server:
            async with deciding(server.addresses[0]) as told:
                for version in range(2, parameters.reloads + 2):
                    await asyncio.sleep(PAUSE)
                    house.write(version)
                    began = time.monotonic()
                    outcome = await server.reload(until=Milestone.ACTIVE)
                    windows.append((began, time.monotonic()))
                    if not isinstance(outcome, Committed) or outcome.serving != version:
                        raise SubjectBroken(f"the reload to version {version} came to {outcome}")
                    told.serves(version)
                await asyncio.sleep(PAUSE)
            return told, windows, await asyncio.to_thread(repeat, house, told.decided)


def repeat(house: House, decided: Collection[tuple[str, str]]) -> dict[str, str]:
    """Decide again what was decided. Blocks.

    Args:
        house: The service, which runs.
        decided: Questions and answers.

    Returns:
        Each answer -> what it comes to when it is repeated; empty for the same.

    Raises:
        SubjectBroken: An epoch is not kept, or there is nothing to repeat.
    """
    replay = replaying()
    decisions = [(query, answer, msgspec.json.decode(answer)) for query, answer in sorted(decided)]
    epochs = sorted({decision["epoch"] for _, _, decision in decisions})
    artifacts = {epoch: replay.artifact_of(epoch, str(house.runtime)) for epoch in epochs}
    if not epochs or not all(artifacts.values()):
        raise SubjectBroken(f"decisions of these epochs cannot be repeated: {artifacts}")
    told: dict[str, str] = {}
    for query, answer, decision in decisions:
        artifact = house.state / "artifacts" / artifacts[decision["epoch"]]
        again = replay.repeated(artifact, house.data, query, decision)
        told[f"{query}: {answer}"] = "" if again == decision else str(again)
    return told


def _apart(answered: Iterable[Answered], windows: Sequence[tuple[float, float]]) -> dict[str, list[float]]:
    """Latencies of questions that a reload touched, and of all others.

    Raises:
        SubjectBroken: There are none of one kind.
    """
    latencies: dict[str, list[float]] = {"inside": [], "outside": []}
    for each in answered:
        touched = any(began <= each.done and each.due <= ended for began, ended in windows)
        latencies["inside" if touched else "outside"].append(each.latency)
    if not all(latencies.values()):
        raise SubjectBroken(f"nothing to compare: { ({name: len(each) for name, each in latencies.items()}) }")
    return latencies


def _verdicts(
    rounds: Sequence[Round], told: Deciding, repeated: Mapping[str, str], reloads: int
) -> tuple[Verdict, ...]:
    ratio = statistics.median(each.decide / each.hello for each in rounds)
    wrong, failed, differing = len(told.wrong), len(told.failed), sum(map(bool, repeated.values()))
    return (
        Verdict(
            "warm decisions per second to those of a native hello", f">= {LEAST:g}", f"{ratio:.2f}", ratio >= LEAST
        ),
        Verdict(f"{reloads} reloads: decisions mixed, or older than what was told before", "0", str(wrong), not wrong),
        Verdict(
            f"of {len(repeated)} different decisions, come out otherwise when repeated",
            "0",
            str(differing),
            not differing,
        ),
        Verdict(f"{reloads} reloads: questions and changes that failed", "0", str(failed), not failed),
    )


def _rows(rounds: Sequence[Round], latencies: dict[str, list[float]]) -> tuple[tuple[str, ...], ...]:
    rates = {
        "native hello": statistics.median(each.hello for each in rounds),
        "warm decision": statistics.median(each.decide for each in rounds),
    }
    head = ("what", "per second", "questions", "median, ms", "p99, ms", "p99.9, ms", "longest, ms")
    found = {f"decisions {name} of reloads": spread(values) for name, values in latencies.items()}
    return (
        head,
        *((name, f"{rate:,.0f}", "", "", "", "", "") for name, rate in rates.items()),
        *((name, "", str(each.count), *_worded(each)) for name, each in found.items()),
    )


def _worded(latency: Spread) -> tuple[str, ...]:
    return tuple(f"{value:.2f}" for value in (latency.median, latency.p99, latency.p999, latency.worst))


def _notes(told: Deciding, repeated: Mapping[str, str], windows: Sequence[tuple[float, float]]) -> tuple[str, ...]:
    took = spread([(ended - began) * 1e3 for began, ended in windows])
    epochs = len({each.epoch for each in told.answered})
    return (
        f"reloads took {took.median:.0f} ms, {took.worst:.0f} ms at most, from asking to the outcome; {epochs} epochs "
        f"answered {len(told.answered)} questions, and facts were changed {told.written} times meanwhile",
        f"{CLIENTS} clients ask every {PACE * 1e3:.0f} ms each, facts change every {WRITE * 1e3:.0f} ms; "
        "latency counts from when a question was due",
        *(f"wrong: {each}" for each in told.wrong[:5]),
        *(f"failed: {each}" for each in told.failed[:5]),
        *(f"repeated: {each} -> {again}" for each, again in repeated.items() if again),
    )


def _chart(latencies: dict[str, list[float]]) -> Chart:
    return Chart(
        "Latency of decisions, by how rare it is",
        "one question in so many takes longer (logarithmic)",
        "milliseconds",
        tuple(Series(f"{name} of reloads", tail(values)) for name, values in latencies.items()),
        logarithmic=True,
    )


def _cores() -> tuple[int, int]:
    """The server's, and that of what asks it."""
    cores = os.sched_getaffinity(0)
    return min(cores), max(cores)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
