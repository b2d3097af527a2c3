from changeover.supervisor.core.entries import Recovered
from changeover.supervisor.core.ledger import Ledger
from tests.entries import held
from tests.machines import snapshot


def test_a_number_is_never_given_twice_not_even_after_it_was_refused() -> None:
    ledger = Ledger(Recovered("j", epoch=9, committed=snapshot(7)))
    assert [ledger.give(), ledger.give()] == [10, 11]


def test_a_number_that_a_worker_knew_is_not_given() -> None:
    ledger = Ledger(Recovered("j", epoch=3))
    ledger.raise_to(8)
    assert ledger.give() == 9


def test_a_cold_start_tells_workers_nothing_before_it_is_revealed() -> None:
    ledger = Ledger(Recovered("j", epoch=7, committed=snapshot(7)))
    assert (ledger.epoch, ledger.current) == (0, None)
    ledger.revealed = True
    assert (ledger.epoch, ledger.current) == (7, snapshot(7))


def test_incarnations_of_two_terms_never_meet() -> None:
    first, second = Ledger(Recovered("j", term=0)), Ledger(Recovered("j", term=1))
    assert first.incarnation() < second.incarnation()
    assert second.is_ours(second.incarnation())
    assert not second.is_ours(first.incarnation())


def test_a_commit_says_what_is_held_from_there_on() -> None:
    ledger = Ledger(Recovered("j", epoch=2, committed=snapshot(2)))
    assert ledger.commit(snapshot(3), [held("bad")]) == snapshot(2)
    assert ledger.held == {held("bad")}
    ledger.commit(snapshot(4), [])
    assert ledger.held == frozenset()
