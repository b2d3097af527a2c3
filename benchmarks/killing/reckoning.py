"""What a load met while supervisors were killed, trial by trial."""

from bisect import bisect_right
from collections.abc import Sequence

import msgspec

from benchmarks.killing.trial import Trial
from benchmarks.load.record import CLOSES, UNFAILED, LoadReport
from benchmarks.samples import PartStores, Stores, samples


class Seen(msgspec.Struct, frozen=True):
    """What the load met between the beginnings of two trials.

    Attributes:
        answers: Whole, right answers.
        failed: Requests without one, of those that are kept one by one.
        closed: Connections that the server closed, unasked, of those that are kept one by one.
        late: Requests started on an epoch after a later one was seen in the commit cell; where parts serve beside each
            other, in the word of it that they read.
        wrong: Epochs of this trial that answered with another content than was committed under their number, and
            epochs that answered and were never committed.
    """

    answers: int = 0
    failed: int = 0
    closed: int = 0
    late: int = 0
    wrong: int = 0


def reckon(
    trials: Sequence[Trial], reports: tuple[LoadReport, ...], stores: Stores | PartStores, first: dict[int, str]
) -> tuple[Seen, ...]:
    """Give each trial its share.

    Args:
        trials: In order.
        reports: Of the load.
        stores: When each epoch was seen in the commit cell, or in the word of each part.
        first: Epoch -> what its content calls itself, before the first trial.
    """
    begins = [trial.began for trial in trials]
    counts = [dict.fromkeys(Seen.__struct_fields__, 0) for _ in trials]

    def share(at: int) -> dict[str, int]:
        return counts[max(0, bisect_right(begins, at) - 1)]

    if not trials:
        return ()
    for sample in samples(reports):
        share(sample.started)["answers"] += 1
        share(sample.started)["late"] += stores.superseded(sample.epoch, sample.started)
    for trouble in (trouble for report in reports for trouble in report.troubles):
        share(trouble.at)["failed"] += trouble.fault not in UNFAILED
        share(trouble.at)["closed"] += trouble.fault in CLOSES
    owners = {epoch: count for trial, count in zip(trials, counts, strict=True) for epoch in trial.contents}
    contents = first | {epoch: marker for trial in trials for epoch, marker in trial.contents.items()}
    for report in reports:
        for epoch, markers in report.markers.items():
            wrong = set(markers) - {contents.get(epoch, "")}
            owners.get(epoch, counts[-1])["wrong"] += len(wrong)
    return tuple(Seen(**count) for count in counts)
