from changeover.supervisor.core.entries import Origin, Trigger
from changeover.supervisor.core.outcome import Action, CutoverRequest, SilentWorkers
from changeover.supervisor.core.requests import Wish, labelled, merged, next_batch, outdated


def wish(ticket: int, only: tuple[str, ...] = (), label: str = "", action: Action = Action.RELOAD) -> Wish:
    return Wish(ticket, CutoverRequest(Origin(Trigger.COMMAND, label=label), action, only), since=float(ticket))


def tickets(batch: tuple[Wish, ...]) -> list[int]:
    return [each.ticket for each in batch]


def test_reloads_that_wait_merge_into_one() -> None:
    assert tickets(next_batch([wish(1), wish(2), wish(3)])) == [1, 2, 3]


def test_a_rollback_merges_with_nothing() -> None:
    assert tickets(next_batch([wish(1, action=Action.ROLLBACK), wish(2)])) == [1]
    assert tickets(next_batch([wish(1), wish(2, action=Action.ROLLBACK), wish(3)])) == [1, 3]


def test_reloads_that_treat_silence_differently_do_not_merge() -> None:
    stern = CutoverRequest(Origin(Trigger.HUP), on_silent_workers=SilentWorkers.KILL)
    assert tickets(next_batch([wish(1), Wish(2, stern, 2.0)])) == [1]


def test_reloads_to_different_interpreters_do_not_merge() -> None:
    other = CutoverRequest(Origin(Trigger.COMMAND), python="/other/bin/python")
    assert tickets(next_batch([wish(1), Wish(2, other, 2.0), wish(3), Wish(4, other, 4.0)])) == [1, 3]


def test_rolls_that_may_take_more_or_less_room_do_not_merge() -> None:
    paced = CutoverRequest(Origin(Trigger.COMMAND), batch=2)
    tight = CutoverRequest(Origin(Trigger.COMMAND), surge=2)
    assert tickets(next_batch([wish(1), Wish(2, paced, 2.0), Wish(3, tight, 3.0), wish(4)])) == [1, 4]


def test_a_merged_reload_takes_all_that_anybody_asked_for() -> None:
    assert merged([wish(1, only=("b",)), wish(2, only=("a",))]).only == ("a", "b")
    assert merged([wish(1, only=("b",)), wish(2)]).only == ()


def test_a_merged_reload_carries_every_label() -> None:
    assert merged([wish(1, label="x"), wish(2), wish(3, label="y")]).origin.label == "x; y"


def test_a_wish_for_another_epoch_is_outdated() -> None:
    conditional = Wish(1, CutoverRequest(Origin(Trigger.API), if_epoch=7), 0.0)
    assert outdated(conditional, 8)
    assert not outdated(conditional, 7)
    assert not outdated(wish(1), 8)


def test_only_what_nobody_asked_for_is_called_by_what_its_candidate_takes() -> None:
    watched = CutoverRequest(Origin(Trigger.WATCH, label="a.py, b.py"), seen={"/srv/a.py": "a.py", "/srv/b.py": "b.py"})
    assert labelled(watched, "b.py").origin.label == "b.py"
    asked = CutoverRequest(Origin(Trigger.COMMAND, label="prices"))
    assert labelled(asked, "b.py") is asked
