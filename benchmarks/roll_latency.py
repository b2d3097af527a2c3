"""What 256 busy connections feel of a roll, beside what they feel of a neighbour that burns as much processor time.

wrk keeps the connections busy, and so the machine; a few paced connections beside them are timed, because wrk does not
say when a request was slow. How much processor time a roll costs is measured first, without load: all that the whole
server uses from SIGHUP until the last replaced process is gone. Rolls and burns then take turns under the same load.
The promise is held against one neighbour; burns of as much by four at the same time, which is what booting workers are
to a scheduler, stand beside it.
"""

import statistics
import sys
import time
from collections.abc import Sequence

import msgspec

from benchmarks.burner import Burn, burning
from benchmarks.chart import Chart, Series
from benchmarks.figures import Spread, spread
from benchmarks.household import spent
from benchmarks.load.process import Totals, running, total
from benchmarks.load.record import Mix
from benchmarks.machine import here
from benchmarks.publication import Result, Verdict, parser, publish
from benchmarks.roll import AFTERWARDS, Roll, Roller
from benchmarks.samples import Sample, samples
from benchmarks.subject import Kind, Subject, serving, until
from benchmarks.window_latency import divide, tail
from benchmarks.wrk import Busy, pressing

NAME = "roll_latency"
WORKERS = 4
CONNECTIONS = 256
TIMED = Mix(busy=8, idle=0, fresh=0, silent=0, post=0, dribble=0, stream=0, long=0, pace=0.02)
"""The paced connections."""
PAUSE = 1.0
"""Seconds between the end of a roll or a burn and the next one."""
WEIGHED = 3
"""Rolls without load of which the processor time is taken; the median counts."""
GONE = 60.0
"""Seconds until the replaced processes are gone."""
ROLLS = "rolls"
RATIO = 2.0
"""Bound: p99 inside rolls at most so many times p99 inside burns."""


class Turns(msgspec.Struct, frozen=True):
    """What took turns.

    Attributes:
        rolls: Rolls.
        burns: Burns by one neighbour.
        crowded: Burns by as many neighbours as there are workers.
    """

    rolls: list[Roll]
    burns: list[Burn]
    crowded: list[Burn]


class LatencyResult(Result, frozen=True, kw_only=True):
    """What the command found; times in milliseconds.

    Attributes:
        inside: Latency while rolls go on.
        burns: Latency while one neighbour burns.
        crowded: Latency while as many neighbours as workers burn as much together.
        steady: Latency at other times.
        burnt: Seconds of processor time of one roll, and of one burn.
        busy: What the busy connections met.
        totals: Of the timed connections.
        turns: Every roll and every burn.
    """

    inside: Spread
    burns: Spread
    crowded: Spread
    steady: Spread
    burnt: float
    busy: Busy
    totals: Totals
    turns: Turns


def main(arguments: list[str]) -> int:
    """Roll and burn in turn, and compare."""
    options = parser(f"benchmarks.{NAME}", __doc__).parse_args(arguments)
    machine = here(f"benchmarks.{NAME}")
    with serving(WORKERS, Kind.APPLICATION) as subject:
        burnt = weigh(subject)
        with pressing(subject.address, CONNECTIONS) as press, running(subject.address, TIMED) as load:
            turns = take_turns(subject, burnt, 3 if options.quick else 20)
            reports = load.stop()
    groups = separate(list(samples(reports)), turns)
    spreads = {name: spread([sample.latency for sample in group]) for name, group in groups.items()}
    inside, burns, crowded, steady = spreads.values()
    totals = total(reports)
    result = LatencyResult(
        title=f"Latency of {CONNECTIONS} busy connections over {len(turns.rolls)} rolls, beside an equal burner",
        machine=machine,
        quick=options.quick,
        verdicts=_verdicts(inside, burns, press.found, totals),
        rows=_rows(spreads),
        notes=_notes(burnt, press.found, turns, groups[ROLLS], inside),
        inside=inside,
        burns=burns,
        crowded=crowded,
        steady=steady,
        burnt=burnt,
        busy=press.found,
        totals=totals,
        turns=turns,
    )
    return publish(NAME, result, _chart(groups), options.out)


def weigh(subject: Subject) -> float:
    """Seconds of processor time that one roll costs the whole server, without load."""
    roller, costs = Roller(subject), list[float]()
    for _ in range(WEIGHED):
        before = spent(subject.pid)
        roller.roll()
        _alone(subject, roller)
        costs.append(spent(subject.pid) - before)
    return statistics.median(costs)


def take_turns(subject: Subject, burnt: float, count: int) -> Turns:
    """Roll, have one neighbour burn, have several burn, so many times."""
    roller, turns = Roller(subject), Turns([], [], [])
    with burning() as one, burning(WORKERS) as several:
        for _ in range(count):
            time.sleep(PAUSE)
            turns.rolls.append(roller.roll())
            _alone(subject, roller)
            time.sleep(PAUSE)
            turns.burns.append(one.burn(burnt))
            time.sleep(PAUSE)
            turns.crowded.append(several.burn(burnt))
    return turns


def _alone(subject: Subject, roller: Roller) -> None:
    roller.lived()
    until(lambda: subject.alone, GONE, lambda: f"replaced processes are left\n{subject.words()}", pause=0.05)


def separate(answers: Sequence[Sample], turns: Turns) -> dict[str, list[Sample]]:
    """Requests that touch a roll, a burn of either kind, and nothing at all."""
    inside, rest = divide(answers, turns.rolls)
    burns, rest = divide(rest, _windows(turns.burns))
    crowded, steady = divide(rest, _windows(turns.crowded))
    return {ROLLS: inside, "burns by one": burns, f"burns by {WORKERS} at once": crowded, "steady": steady}


def _windows(burns: Sequence[Burn]) -> list[Burn]:
    return [Burn(burn.asked, burn.ended + AFTERWARDS) for burn in burns]


def _verdicts(inside: Spread, burns: Spread, busy: Busy, totals: Totals) -> tuple[Verdict, ...]:
    ratio, errors = inside.p99 / burns.p99, sum(busy.errors.values())
    words = ", ".join(f"{kind} {count}" for kind, count in busy.errors.items()) or "0"
    return (
        Verdict("p99 inside rolls over p99 inside equal burns by one", f"<= {RATIO:g}", f"{ratio:.2f}", ratio <= RATIO),
        Verdict(f"socket errors and wrong statuses of {CONNECTIONS} busy connections", "0", words, not errors),
        Verdict("failed requests of the timed connections", "0", str(totals.failed), not totals.failed),
        Verdict("timed connections closed unasked", "0", str(totals.closed), not totals.closed),
    )


def _rows(spreads: dict[str, Spread]) -> tuple[tuple[str, ...], ...]:
    return (
        ("milliseconds", "count", "median", "p99", "p99.9", "longest"),
        *(
            (name, str(s.count), *(f"{v:.2f}" for v in (s.median, s.p99, s.p999, s.worst)))
            for name, s in spreads.items()
        ),
    )


def _notes(burnt: float, busy: Busy, turns: Turns, inside: Sequence[Sample], spread: Spread) -> tuple[str, ...]:
    lengths = {
        "a roll": statistics.median((roll.ended - roll.asked) / 1e9 for roll in turns.rolls),
        "a burn by one": statistics.median((burn.ended - burn.asked) / 1e9 for burn in _windows(turns.burns)),
        "a burn by several": statistics.median((burn.ended - burn.asked) / 1e9 for burn in _windows(turns.crowded)),
    }
    slow = [sample for sample in inside if sample.latency >= spread.p99]
    stored = sum(sample.done >= roll.stored and sample.since < roll.ended for roll in turns.rolls for sample in slow)
    return (
        f"a roll costs {burnt:.2f} s of processor time without load, and every burn as much; windows under load "
        f"(medians): {', '.join(f'{what} {length:.2f} s' for what, length in lengths.items())}",
        f"of the {len(slow)} slowest requests inside rolls, {stored} ended after the store: the handover is in them; "
        "the others waited for processor time while workers booted",
        f"the busy connections are {busy.by}'s, with {busy.requests} answers in all",
    )


def _chart(groups: dict[str, list[Sample]]) -> Chart:
    return Chart(
        "Latency, by how rare it is",
        "one request in so many takes longer (logarithmic)",
        "milliseconds",
        tuple(Series(name, tail([sample.latency for sample in group])) for name, group in groups.items()),
        logarithmic=True,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
