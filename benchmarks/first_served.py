"""From SIGHUP to the moment from which every worker serves the new plugin, its preflight included, beside uvicorn.

Both serve four workers under the same light load. Ours swaps a plugin; uvicorn, which replaces processes, reloads an
application that answers the same. Of ours the end is when the last worker's pointer changed, by its own clock; of
uvicorn's, which tells nobody, it is when the last request was started on the old code. They take turns.
"""

import sys
import time
from collections.abc import Sequence

import msgspec

from benchmarks.chart import Chart, Series, Style
from benchmarks.contents import FIRST
from benchmarks.environment import installed
from benchmarks.figures import spread
from benchmarks.load.process import running
from benchmarks.load.record import Mix
from benchmarks.machine import here
from benchmarks.publication import Result, Verdict, parser, publish
from benchmarks.samples import samples
from benchmarks.servers import UVICORN, Server, served, settled
from benchmarks.subject import Subject, serving
from benchmarks.swap import Swap, Swapper

NAME = "first_served"
WORKERS = 4
MIX = Mix(busy=8, idle=16, fresh=4, silent=0, post=0, dribble=0, stream=0, long=0, pace=0.005)
"""Requests that are answered at once, on old connections and new ones."""
STEADY = 1.0
"""Seconds of load before SIGHUP."""
PAUSE = 0.5
"""Seconds between two swaps of one turn."""
ALONE = 2.0
"""Seconds for which only the new version must have answered uvicorn's new connections."""
RELOAD = 90.0
"""Seconds until a reload has come to its end."""
SHARE = 5
"""What ours is promised to take: one so-many-th of uvicorn's time."""


class Parameters(msgspec.Struct, frozen=True):
    """How long a run is.

    Attributes:
        turns: Of each.
        swaps: Ours, in one turn; uvicorn reloads once.
    """

    turns: int = 8
    swaps: int = 5


QUICK = Parameters(2, 2)


class FirstServedResult(Result, frozen=True, kw_only=True):
    """What the command found; seconds.

    Attributes:
        ours: From SIGHUP to the last worker's switch.
        preflights: How long of that the preflight took.
        theirs: From SIGHUP to the last start of a request on the old code.
    """

    ours: tuple[float, ...]
    preflights: tuple[float, ...]
    theirs: tuple[float, ...]


def main(arguments: list[str]) -> int:
    """Compare; the status is 1 when the promise did not hold, and another where uvicorn cannot be installed."""
    options = parser(f"benchmarks.{NAME}", __doc__).parse_args(arguments)
    machine = here(f"benchmarks.{NAME}")
    binaries = installed()
    parameters = QUICK if options.quick else Parameters()
    swaps: list[Swap] = []
    theirs: list[float] = []
    with serving(WORKERS) as subject, served(binaries, UVICORN, WORKERS) as server:
        swapper = Swapper(subject)
        swapper.swap()
        for version in range(FIRST, FIRST + parameters.turns):
            swaps += _swapped(subject, swapper, parameters.swaps)
            theirs.append(_reloaded(server, version))
    ours = [(swap.ended - swap.asked) / 1e9 for swap in swaps]
    preflights = [swap.preflight for swap in swaps]
    result = FirstServedResult(
        title=f"SIGHUP to the new plugin in all {WORKERS} workers, preflight included, beside uvicorn's reload",
        machine=machine,
        quick=options.quick,
        verdicts=_verdicts(ours, preflights, theirs),
        rows=_rows(ours, preflights, theirs),
        notes=(f"uvicorn: `{' '.join(UVICORN.words)}`",),
        ours=tuple(ours),
        preflights=tuple(preflights),
        theirs=tuple(theirs),
    )
    return publish(NAME, result, _chart(ours, theirs), options.out)


def _swapped(subject: Subject, swapper: Swapper, count: int) -> list[Swap]:
    """One turn of ours."""
    swaps = []
    with running(subject.address, MIX) as load:
        time.sleep(STEADY)
        for _ in range(count):
            swaps.append(swapper.swap())
            time.sleep(PAUSE)
        load.stop()
    return swaps


def _reloaded(server: Server, version: int) -> float:
    """One turn of uvicorn's, which serves `version`; seconds until nothing is started on that any more."""
    with running(server.address, MIX) as load:
        time.sleep(STEADY)
        marker = server.contents.renew()
        asked = time.monotonic_ns()
        server.hang_up()
        settled(server, marker, ALONE, RELOAD)
        answers = list(samples(load.stop()))
    last = max((sample.started for sample in answers if sample.epoch == version), default=asked)
    return max(0, last - asked) / 1e9


def _verdicts(ours: Sequence[float], preflights: Sequence[float], theirs: Sequence[float]) -> tuple[Verdict, ...]:
    own, other = spread(ours).median, spread(theirs).median
    unrehearsed = sum(not took for took in preflights)
    return (
        Verdict(
            f"SIGHUP to all workers serving it, median, as a share of {UVICORN.name}",
            f"<= 1/{SHARE}",
            f"{own:.3f} s of {other:.3f} s: 1/{other / own:.1f}",
            own * SHARE <= other,
        ),
        Verdict("swaps that were not rehearsed", "0", str(unrehearsed), not unrehearsed),
    )


def _rows(ours: Sequence[float], preflights: Sequence[float], theirs: Sequence[float]) -> tuple[tuple[str, ...], ...]:
    named = {
        "changeover: SIGHUP to the last worker's switch": ours,
        "of which preflight": preflights,
        f"{UVICORN.name}: SIGHUP to the last start on old code": theirs,
    }
    head = ("seconds", "reloads", "shortest", "median", "longest")
    body = ((name, str(len(values)), *_words(values)) for name, values in named.items())
    return (head, *body)


def _words(values: Sequence[float]) -> tuple[str, ...]:
    return tuple(f"{value:.3f}" for value in (min(values), spread(values).median, max(values)))


def _chart(ours: Sequence[float], theirs: Sequence[float]) -> Chart:
    named = {"changeover": ours, UVICORN.name: theirs}
    series = (Series(name, list(enumerate(values, start=1)), Style.DOTS) for name, values in named.items())
    return Chart("From SIGHUP to the end of the old code", "reload", "seconds", tuple(series))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
