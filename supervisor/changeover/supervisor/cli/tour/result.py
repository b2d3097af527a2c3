"""What the tour found, and whether everything went as it should. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from changeover.supervisor.cli.tour.load import Sample


class Window(msgspec.Struct, frozen=True):
    """From the request of a cutover to its outcome; times are CLOCK_MONOTONIC in seconds.

    Attributes:
        title: What was asked for.
        began: When.
        ended: When its outcome was known.
        prepare: Seconds until every worker had answered; None when it was refused.
        commit: Seconds from the commit to the last worker; None when it was refused.
    """

    title: str
    began: float
    ended: float
    prepare: float | None = None
    commit: float | None = None

    def holds(self, sample: Sample) -> bool:
        """Whether a request was under way in it."""
        return sample.began <= self.ended and sample.began + sample.took >= self.began


def asked_since(samples: Iterable[Sample], moment: float) -> list[Sample]:
    """The answers to requests that began since then: others may still be the version's that served before."""
    return [sample for sample in samples if sample.began >= moment]


class Finding(msgspec.Struct, frozen=True):
    """One thing that had to be so.

    Attributes:
        claim: What had to be.
        holds: Whether it was.
        found: What was found instead, or as proof.
    """

    claim: str
    holds: bool
    found: str


class Result(msgspec.Struct, frozen=True):
    """All of it.

    Attributes:
        samples: Every answer.
        failures: Every request without one.
        closes: Connections closed unasked.
        windows: Every cutover.
        findings: What had to be so.
    """

    samples: tuple[Sample, ...]
    failures: tuple[str, ...]
    closes: int
    windows: tuple[Window, ...]
    findings: tuple[Finding, ...]

    @property
    def well(self) -> bool:
        """Whether everything went as it should."""
        return not self.failures and not self.closes and all(finding.holds for finding in self.findings)

    def epochs(self) -> dict[int, int]:
        """Epoch -> requests that it answered."""
        return dict(sorted(Counter(sample.epoch for sample in self.samples).items()))

    def latencies(self) -> Iterator[tuple[str, float, float, int]]:
        """Inside and outside the windows: what, p50, p99 (seconds), and of how many requests."""
        inside = [sample.took for sample in self.samples if any(window.holds(sample) for window in self.windows)]
        outside = [sample.took for sample in self.samples if not any(window.holds(sample) for window in self.windows)]
        for title, taken in (("inside the windows", inside), ("outside the windows", outside)):
            yield title, percentile(taken, 50), percentile(taken, 99), len(taken)


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that `percent` of all do not exceed; 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
