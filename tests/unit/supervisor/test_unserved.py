"""What was bound for a candidate that was not committed is told from what somebody serves."""

from changeover.supervisor.core.entries import Recovered
from changeover.supervisor.unserved import latest_committed, unserved
from tests.machines import snapshot

SERVING, CANDIDATES, REMOVED = 11, 12, 13


def test_what_only_a_candidate_holds_is_unserved() -> None:
    assert unserved({SERVING: {1, 4}, CANDIDATES: {4}}, committed=3) == {CANDIDATES}


def test_what_was_removed_is_still_taken_by_those_who_serve() -> None:
    assert unserved({SERVING: {2, 4}, REMOVED: {2, 4}}, committed=3) == frozenset()


def test_where_only_a_candidate_is_left_new_workers_have_everything() -> None:
    assert unserved({SERVING: {4}, CANDIDATES: {4}}, committed=3) == frozenset()


def test_nothing_is_unserved_where_nobody_was_found() -> None:
    assert unserved({}, committed=3) == frozenset()


def test_parts_that_were_committed_count() -> None:
    recovered = Recovered("journal", committed=snapshot(3), parted=snapshot(5, rolled=5))
    assert latest_committed(recovered, stored=3) == 5


def test_a_journal_that_was_put_back_is_not_believed_against_the_commit_cell() -> None:
    assert latest_committed(Recovered("journal", committed=snapshot(3)), stored=7) == 7
    assert latest_committed(Recovered("journal"), stored=0) == 0
