"""One job and the thread that does it: of coming back and being left behind, the first counts."""

import threading

import pytest

from changeover.workers.serving.assignment import Assignment, at_work, left_behind, owing, under_way, work_for
from changeover.workers.serving.lease import LeaseKind, UnitSet
from tests.assignments import Owed


class Nobody:
    def leave_behind(self, assignment: Assignment) -> None:
        raise AssertionError("nobody was asked")


def submitted() -> Owed:
    assignment = Owed(UnitSet(()).lease(LeaseKind.HTTP, 1, "/", 5))
    assignment.staff = Nobody()
    return assignment


@pytest.fixture
def given() -> Owed:
    return submitted()


def hangs(assignment: Assignment) -> bool:
    """Whether its thread is still known to be at it, waited for or not."""
    return assignment in at_work or assignment in left_behind


def begun(assignment: Assignment) -> Assignment:
    assignment.begin(threading.current_thread())
    return assignment


def test_who_waits_for_a_thread_is_under_way_for_nobody(given: Owed) -> None:
    assert (given in under_way(), given.is_waited_for, given.leave_behind()) == (False, False, False)
    assert given.thread is None


def test_who_comes_back_first_cannot_be_left_behind(given: Owed) -> None:
    begun(given)
    assert (given.is_waited_for, given.come_back(), given.leave_behind()) == (True, True, False)
    assert given.done()
    assert not hangs(given)


def test_who_is_left_behind_first_is_waited_for_no_more_and_hangs_until_it_is_done(given: Owed) -> None:
    begun(given)
    assert (given.leave_behind(), given.leave_behind(), given.come_back()) == (True, False, False)
    assert (given in owing(), work_for(given.lease), given.is_waited_for) == (True, [given], False)
    assert not given.done()
    assert (hangs(given), given in owing()) == (False, False)


def test_what_is_done_cannot_be_left_behind_and_its_thread_is_waited_for(given: Owed) -> None:
    begun(given)
    assert (given.done(), given.is_waited_for, given.leave_behind()) == (True, False, False)
    assert (under_way(), work_for(given.lease)) == ([], []), "its thread has yet to come back"
    assert given.come_back()


def test_the_same_thread_with_its_next_job_is_not_left_behind_for_the_one_before(given: Owed) -> None:
    begun(given)
    assert given.come_back()
    following = begun(submitted())
    assert (given.leave_behind(), following.is_waited_for) == (False, True)
    assert following.come_back()


def test_it_owes_since_it_began_or_since_what_its_request_waited_for_has_come(given: Owed) -> None:
    begun(given)
    lease = given.lease
    assert given.owes_since == given.began > lease.since
    lease.waiting.readers += 1
    assert given not in owing()
    lease.waiting.readers -= 1
    lease.waiting.resume()
    assert given in owing()
    assert given.owes_since == lease.resumed >= given.began
    given.answered = True
    assert given not in owing()
    assert given.come_back()
