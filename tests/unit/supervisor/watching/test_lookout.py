"""When what is seen is worth a cutover, and when the same is asked for again."""

import pytest
from msgspec.structs import replace

from changeover.supervisor.core.entries import SlotRefusal
from changeover.supervisor.core.outcome import Committed, NeedsRoll, Outcome, Refused, Unchanged
from changeover.supervisor.core.quarantine import MOST
from changeover.supervisor.watching.lookout import FIRST, LONGEST, Ask, Lookout, State, Wait, delay, settles
from changeover.workers.protocol.refusal import Fault, Refusal, Stage


def refused(*faults: Fault) -> Refused:
    return Refused(
        1, reason="no", refusals=tuple(SlotRefusal(0, 1, Refusal(Stage.LOAD, each, "no")) for each in faults)
    )


TIMEOUT, BROKEN = refused(Fault.TIMEOUT), refused(Fault.CONTRACT)


@pytest.fixture
def lookout() -> Lookout:
    return Lookout({"a": 1, "b": 1})


@pytest.mark.parametrize(
    ("ending", "settled"),
    [
        (Committed(2), True),
        (Unchanged(1), True),
        (NeedsRoll(1), True),
        (BROKEN, True),
        (refused(Fault.TIMEOUT, Fault.CRASH), True),
        (TIMEOUT, False),
        (refused(Fault.TIMEOUT, Fault.RESOURCE), False),
        (Refused(1, reason="the journal is in doubt"), False),
    ],
    ids=str,
)
def test_only_what_may_pass_is_asked_for_again(ending: Outcome, settled: bool) -> None:
    assert settles(ending) is settled


def test_what_is_as_it_was_is_worth_nothing(lookout: Lookout) -> None:
    assert lookout.seen({"a": 1, "b": 1}) is None


def test_a_difference_is_worth_one_cutover_and_names_what_differs(lookout: Lookout) -> None:
    assert lookout.seen({"a": 2, "c": 1}) == Ask(("a", "b", "c"))
    assert lookout.seen({"a": 2, "c": 1}) is None
    assert lookout.ended(Committed(2)) is None
    assert lookout.seen({"a": 2, "c": 1}) is None


def test_a_storm_while_one_is_asked_for_is_worth_one_more(lookout: Lookout) -> None:
    assert lookout.seen({"a": 2}) == Ask(("a", "b"))
    assert [lookout.seen({"a": number}) for number in range(3, 300)] == [None] * 297
    assert lookout.ended(Committed(2)) == Ask(("a",))
    assert lookout.ended(Committed(3)) is None
    assert lookout.state is State.IDLE


def test_what_went_back_to_how_it_was_while_it_was_asked_for_is_asked_for_too(lookout: Lookout) -> None:
    lookout.seen({"a": 2, "b": 1})
    lookout.seen({"a": 1, "b": 1})
    assert lookout.ended(Committed(2)) == Ask(("a",))


def test_content_that_is_refused_for_what_it_is_is_not_asked_for_again(lookout: Lookout) -> None:
    lookout.seen({"a": 2})
    assert lookout.ended(BROKEN) is None
    assert lookout.seen({"a": 2}) is None
    assert lookout.seen({"a": 3}) == Ask(("a",))


def test_what_can_be_had_without_what_was_refused_is_asked_for_at_once(lookout: Lookout) -> None:
    lookout.seen({"a": 2, "b": 2})
    assert lookout.ended(replace(BROKEN, rest=True)) == Ask(("a", "b"))
    assert lookout.seen({"a": 2, "b": 2}) is None
    assert lookout.ended(Committed(3)) is None
    assert lookout.seen({"a": 2, "b": 2}) is None


def test_what_was_seen_meanwhile_is_asked_for_with_the_rest(lookout: Lookout) -> None:
    lookout.seen({"a": 2, "b": 2})
    lookout.seen({"a": 2, "b": 2, "c": 1})
    assert lookout.ended(replace(BROKEN, rest=True)) == Ask(("a", "b", "c"))
    assert lookout.ended(Committed(3)) is None
    assert lookout.state is State.IDLE


def test_a_rest_that_fails_for_a_reason_that_may_pass_is_waited_for(lookout: Lookout) -> None:
    lookout.seen({"a": 2})
    lookout.ended(replace(BROKEN, rest=True))
    assert lookout.ended(replace(TIMEOUT, rest=True)) == Wait(FIRST)


def test_more_refusals_than_are_remembered_are_not_gone_round_for_ever(lookout: Lookout) -> None:
    lookout.seen({"a": 2})
    asked = [lookout.ended(replace(BROKEN, rest=True)) for _ in range(MOST + 1)]
    assert asked == [Ask(("a", "b"))] * MOST + [None]
    assert lookout.state is State.IDLE


def test_a_reason_that_may_pass_is_waited_for_twice_as_long_each_time_and_never_too_long(lookout: Lookout) -> None:
    lookout.seen({"a": 2})
    waits = []
    for _ in range(12):
        wait = lookout.ended(TIMEOUT)
        assert isinstance(wait, Wait)
        waits.append(wait.seconds)
        assert lookout.seen({"a": 2}) is None
        assert lookout.due() == Ask(("a", "b"))
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert lookout.ended(Committed(2)) is None
    lookout.seen({"a": 3})
    assert lookout.ended(TIMEOUT) == Wait(FIRST)


def test_no_number_of_failures_makes_it_wait_for_ever() -> None:
    assert delay(10_000) == LONGEST


def test_other_content_does_not_wait_for_what_failed_before_it(lookout: Lookout) -> None:
    lookout.seen({"a": 2})
    lookout.ended(TIMEOUT)
    lookout.due()
    lookout.ended(TIMEOUT)
    assert lookout.seen({"a": 3}) == Ask(("a", "b"))
    assert lookout.ended(TIMEOUT) == Wait(FIRST)


def test_a_timer_that_is_late_is_about_nothing_any_more(lookout: Lookout) -> None:
    lookout.seen({"a": 2})
    lookout.ended(TIMEOUT)
    lookout.seen({"a": 3})
    lookout.ended(Committed(2))
    assert lookout.due() is None


def test_what_somebody_else_could_not_have_for_a_reason_that_may_pass_is_asked_for_later(lookout: Lookout) -> None:
    assert lookout.unsettled() == Wait(FIRST)
    assert lookout.unsettled() is None
    assert lookout.due() == Ask(())
    assert lookout.unsettled() is None
    assert lookout.ended(Committed(2)) is None


def test_a_cutover_whose_end_nobody_knows_is_asked_for_again(lookout: Lookout) -> None:
    lookout.seen({"a": 2})
    assert lookout.ended(None) == Wait(FIRST)


def test_where_nobody_looked_before_whatever_is_seen_is_asked_for_and_nothing_is_said_to_differ() -> None:
    assert Lookout(None).seen({}) == Ask(())
    lookout = Lookout(None)
    assert lookout.seen({"a": 1, "b": 1}) == Ask(())
    lookout.ended(Committed(2))
    assert lookout.seen({"a": 1, "b": 2}) == Ask(("b",))
