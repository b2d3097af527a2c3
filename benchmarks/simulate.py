"""Runs simulated schedules of supervisor, workers, zygote and journal, and says what they showed.

`python benchmarks/simulate.py --schedules 20000 --jobs 2`; `--seed N` runs one again and prints all of it.
Exit status 1 when a promise was broken, or less than 95 % of what the tables list has happened.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.simulation.coverage import Pair, counting, listed
from tests.simulation.runner import Result, ScheduleFailed, run

LEAST_COVERAGE = 0.95
CHUNK = 250
SPARE = 1.07
"""So many more are run: those in which the service is stopped in the middle do not count."""


@dataclass
class Findings:
    """What a range of seeds showed."""

    results: list[Result] = field(default_factory=list)
    failures: list[tuple[int, str]] = field(default_factory=list)
    taken: Counter[Pair] = field(default_factory=Counter)


def explore(seeds: Sequence[int]) -> Findings:
    """Run a range of seeds."""
    findings = Findings()
    with counting() as taken:
        for seed in seeds:
            try:
                findings.results.append(run(seed))
            except ScheduleFailed as failure:
                findings.failures.append((seed, str(failure)))
    findings.taken = taken
    return findings


def explore_all(first: int, schedules: int, jobs: int) -> Findings:
    """Run all seeds from `first`, on so many processes."""
    chunks = [range(at, min(at + CHUNK, first + schedules)) for at in range(first, first + schedules, CHUNK)]
    together = Findings()
    if jobs == 1:
        return _gathered(together, map(explore, chunks))
    with ProcessPoolExecutor(jobs) as pool:
        return _gathered(together, pool.map(explore, chunks))


def _gathered(together: Findings, parts: Iterable[Findings]) -> Findings:
    for part in parts:
        together.results += part.results
        together.failures += part.failures
        together.taken += part.taken
    return together


def report(findings: Findings, schedules: int, seconds: float) -> bool:
    """Print what was found; False when it is not good enough."""
    counted = [result for result in findings.results if not result.stopped]
    print(f"{len(findings.results)} schedules in {seconds:.1f} s: {len(counted)} to rest,", end=" ")
    print(f"{len(findings.results) - len(counted)} stopped in the middle; {len(findings.failures)} broke a promise")
    print(f"{'per schedule':<28}{'least':>8}{'p10':>8}{'median':>8}{'p90':>8}{'most':>8}")
    for name in ("workers", "cutovers", "committed", "faults", "delivered", "supervisors"):
        values = sorted(getattr(result, name) for result in counted)
        if len(values) > 1:
            deciles = quantiles(values, n=10)
            print(f"{name:<28}{values[0]:>8}{deciles[0]:>8.0f}{deciles[4]:>8.0f}{deciles[8]:>8.0f}{values[-1]:>8}")
    coverage = _report_coverage(findings.taken)
    for _, text in findings.failures[:3]:
        print(f"\n{text}")
    return not findings.failures and coverage >= LEAST_COVERAGE and len(counted) >= schedules


def _report_coverage(taken: Counter[Pair]) -> float:
    pairs = listed()
    print(f"{'(state, cause) pairs':<28}{'listed':>8}{'taken':>8}{'rarest':>8}")
    for table in dict.fromkeys(pair[0] for pair in pairs):
        counts = [taken[pair] for pair in pairs if pair[0] == table]
        print(f"{table:<28}{len(counts):>8}{sum(map(bool, counts)):>8}{min(counts):>8}")
    missing = [pair for pair in pairs if not taken[pair]]
    coverage = 1 - len(missing) / len(pairs)
    print(f"coverage {coverage:.1%} of {len(pairs)} pairs", end="")
    print("; never: " + ", ".join(f"{table}: {state} / {cause}" for table, state, cause in missing) if missing else "")
    return coverage


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=2000, help="how many that come to rest")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="on how many processes")
    parser.add_argument("--seed", type=int, help="run this one only, and print all of it when it fails")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        print(run(options.seed, keep=None))
        return 0
    began = time.monotonic()
    findings = explore_all(options.first, round(options.schedules * SPARE) + CHUNK, options.jobs)
    return 0 if report(findings, options.schedules, time.monotonic() - began) else 1


if __name__ == "__main__":
    sys.exit(main())
