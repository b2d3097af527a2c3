"""The shared page of counters."""

import os
from collections.abc import Iterator

import pytest

from changeover.workers.runtime.counts import SLOTS, Counts, create


@pytest.fixture
def page() -> Iterator[int]:
    fd = create()
    yield fd
    os.close(fd)


def test_nobody_accepts_on_a_new_page(page: int) -> None:
    counts = Counts(page)
    assert counts.read(0) is None
    assert counts.read(SLOTS - 1) is None
    assert list(counts.living()) == []
    counts.close()


def test_what_one_process_stores_another_reads(page: int) -> None:
    counts = Counts(page)
    child = os.fork()
    if child == 0:
        mine = Counts(page)
        mine.store(3, 7)
        os._exit(0)
    os.waitpid(child, 0)
    assert counts.read(3) == 7
    counts.close()


def test_a_vacated_slot_is_not_a_worker_without_connections(page: int) -> None:
    counts = Counts(page)
    counts.store(0, 0)
    counts.store(1, 5)
    counts.vacate(1)
    assert list(counts.living()) == [0]
    assert (counts.read(0), counts.read(1)) == (0, None)
    counts.close()
