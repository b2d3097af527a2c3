"""The lifecycle moves forward only, and undoes exactly what was done."""

import itertools

import pytest

from changeover.workers.plugins.lifecycle import TRANSITIONS, UNDO, IllegalStep, Lifecycle, State, Step, Undo

ORDER = list(State)
WAY = [Step.LINK, Step.INITIALISE, Step.ACTIVATE, Step.DRAIN, Step.REMOVE]


def at(state: State) -> Lifecycle:
    lifecycle = Lifecycle("plugin pricing")
    for step in WAY[: ORDER.index(state)]:
        lifecycle.advance(step)
    return lifecycle


def test_an_instance_goes_through_every_state_in_order() -> None:
    assert [at(state).state for state in State] == list(State)


def test_no_step_leads_back() -> None:
    assert all(ORDER.index(after) > ORDER.index(before) for (before, _), after in TRANSITIONS.items())


@pytest.mark.parametrize(("state", "step"), list(itertools.product(State, Step)))
def test_what_the_table_does_not_list_is_refused_and_changes_nothing(state: State, step: Step) -> None:
    lifecycle = at(state)
    if (state, step) in TRANSITIONS:
        assert lifecycle.advance(step) is TRANSITIONS[state, step]
        return
    with pytest.raises(IllegalStep) as refused:
        lifecycle.advance(step)
    assert (refused.value.current, refused.value.step, lifecycle.state) == (state, step, state)
    assert str(refused.value).startswith(f"plugin pricing is {state.value}, which allows ")


@pytest.mark.parametrize("state", [State.LOADED, State.LINKED, State.INITIALIZED, State.DRAINING])
def test_an_end_undoes_what_was_done_in_reverse(state: State) -> None:
    lifecycle = at(state)
    assert lifecycle.end() == UNDO[state]
    assert lifecycle.state is State.REMOVED
    assert UNDO[state] == tuple(Undo)[-len(UNDO[state]) :]


@pytest.mark.parametrize("state", [State.ACTIVE, State.REMOVED])
def test_what_serves_and_what_is_gone_cannot_end(state: State) -> None:
    with pytest.raises(IllegalStep):
        at(state).end()
