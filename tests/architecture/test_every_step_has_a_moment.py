"""A step of the core at which no supervisor is killed, and that no reason exempts, is a promise that nobody proves."""

from benchmarks.killing.cutovers import PLAYS
from benchmarks.killing.exempt import EXEMPT, steps
from benchmarks.killing.moments import ADOPTION


def chosen() -> set[str]:
    """Steps at which a supervisor is killed."""
    played = (moment for play in PLAYS for _, moment in play.moments(play.workers or 4))
    return {moment.step for moment in (*played, *ADOPTION)}


def test_a_supervisor_is_killed_at_every_step_or_a_reason_says_why_not() -> None:
    assert steps() - chosen() - EXEMPT.keys() == set()


def test_no_step_is_exempt_at_which_one_is_killed_or_that_does_not_exist() -> None:
    assert EXEMPT.keys() & chosen() == set()
    assert (EXEMPT.keys() | chosen()) - steps() == set()
