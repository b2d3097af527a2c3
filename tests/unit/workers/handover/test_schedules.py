"""Both machines, in thousands of schedules: whatever fails whenever, each connection has one owner."""

from collections import Counter

import pytest

from changeover.workers.handover.messages import Fault, StateRefused, StateTaken
from tests.handover_world import Gift, World

SCHEDULES, PER_TEST = 2000, 500
STEPS = 100


def run(seed: int) -> World:
    """Play the schedule of `seed`, then heal and let it come to rest."""
    world = World(seed)
    try:
        for _ in range(STEPS):
            world.step()
        world.heal()
    except Exception as error:
        raise AssertionError(f"seed {seed}: {error}\n{world.told()}") from error
    return world


def became(gift: Gift) -> str:
    """What its sender knows of the state of a plugin."""
    [answer] = gift.settled
    if isinstance(answer, StateTaken):
        return "taken"
    if isinstance(answer, StateRefused):
        return "refused"
    return "untaken" if gift.sent else "unsent"


@pytest.mark.parametrize("first", range(0, SCHEDULES, PER_TEST))
def test_whatever_fails_each_connection_has_one_owner_and_is_adopted_in_the_end(first: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(first, first + PER_TEST):
        world = run(seed)
        for connection in world.connections:
            assert connection.adopted or connection.lost or connection.ended, f"seed {seed}: {connection}"
            seen["adopted" if connection.adopted else "lost" if connection.lost else "ended"] += 1
        for receiver in world.receivers:
            seen["declined"] += receiver.machine.faults[Fault.BARE]
        for sender in world.senders:
            assert sender.machine.strays == 0
            assert not sender.alive or sender.machine.held == 0
    assert seen["adopted"] > PER_TEST * 10
    assert seen["lost"]
    assert seen["declined"]
    assert seen["ended"]


@pytest.mark.parametrize("first", range(0, SCHEDULES, PER_TEST))
def test_whatever_fails_state_is_given_once_and_its_sender_knows_what_became_of_it(first: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(first, first + PER_TEST):
        world = run(seed)
        living = [gift for gift in world.gifts if gift.settled]
        assert len(living) == len(world.gifts) or not all(sender.alive for sender in world.senders)
        for gift in living:
            seen[became(gift)] += 1
            seen["taken, and not told"] += gift.settled == [None] and bool(gift.begun)
    assert min(seen[each] for each in ("taken", "refused", "untaken", "unsent", "taken, and not told")) > 10, seen
