"""Totals only rise, whoever dies, and survive the supervisor."""

import pytest

from changeover.supervisor.telemetry.totals import MOST_ENDED, Totals
from changeover.workers.protocol.counted import Counts, PipelineCounts, ServiceCounts
from changeover.workers.protocol.identity import WorkerId


def worker(number: int) -> WorkerId:
    return WorkerId(1, number % 4, number)


def counted(hits: int) -> Counts:
    return Counts({"shop": PipelineCounts({"/": hits})}, {"app": ServiceCounts(1, 1)})


class Kept:
    """What would be on disk."""

    def __init__(self) -> None:
        self.content = b""

    def __call__(self, content: bytes) -> None:
        self.content = content


def test_a_report_takes_the_place_of_the_one_before() -> None:
    totals = Totals()
    totals.take(worker(1), counted(3))
    totals.take(worker(1), counted(5))
    totals.take(worker(2), counted(7))
    assert totals.total().requests == 12
    assert totals.total().services["app"].unready == 2


def test_what_a_dead_worker_counted_stays_and_is_not_unready_any_more() -> None:
    totals = Totals()
    totals.take(worker(1), counted(3))
    totals.bury(worker(1))
    totals.take(worker(2), counted(1))
    assert totals.total().requests == 4
    assert totals.total().services["app"] == ServiceCounts(2, 1)


def test_last_words_that_come_after_the_death_count_once() -> None:
    totals = Totals()
    totals.take(worker(1), counted(3))
    totals.bury(worker(1))
    totals.take_late(worker(1), counted(5))
    assert totals.total().requests == 5


def test_last_words_of_one_that_nobody_buried_do_not_count() -> None:
    totals = Totals()
    totals.take_late(worker(1), counted(5))
    assert totals.total().requests == 0


def test_any_number_of_workers_may_die_and_no_count_is_lost_or_kept_by_name() -> None:
    totals = Totals()
    for number in range(MOST_ENDED + 100):
        totals.take(worker(number), counted(1))
        totals.bury(worker(number))
    assert totals.total().requests == MOST_ENDED + 100
    totals.take_late(worker(0), counted(1000))
    assert totals.total().requests == MOST_ENDED + 100


def test_the_next_supervisor_goes_on_with_what_the_dead_counted() -> None:
    kept = Kept()
    first = Totals(keep=kept)
    first.take(worker(1), counted(3))
    first.take(worker(2), counted(4))
    first.bury(worker(1))
    second = Totals(kept.content)
    assert second.total().requests == 3
    second.take(worker(2), counted(6))
    assert second.total().requests == 9


@pytest.mark.parametrize("kept", [b"", b"\xff", b"\x93\x01\x02\x03", b"\x81\xa9pipelines\x01"])
def test_what_cannot_be_read_begins_anew(kept: bytes) -> None:
    assert Totals(kept).total() == Counts()
