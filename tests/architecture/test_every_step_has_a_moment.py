"""A step of the core at which no supervisor is killed, and that no reason exempts, is a promise that nobody proves."""

from benchmarks.killing.cutovers import CUTOVERS
from benchmarks.killing.exempt import EXEMPT, steps
from benchmarks.killing.moments import ADOPTION


def chosen() -> set[str]:
    """Steps at which a supervisor is killed."""
    cutovers = (moment for cutover in CUTOVERS for moment in cutover.moments(cutover.workers or 4))
    return {moment.step for moment in (*cutovers, *ADOPTION)}


def test_a_supervisor_is_killed_at_every_step_or_a_reason_says_why_not() -> None:
    assert steps() - chosen() - EXEMPT.keys() == set()


def test_no_step_is_exempt_at_which_one_is_killed_or_that_does_not_exist() -> None:
    assert EXEMPT.keys() & chosen() == set()
    assert (EXEMPT.keys() | chosen()) - steps() == set()
