"""The supervisor is killed at steps of every kind of cutover, and the next one settles what it left."""

import pytest
from benchmarks.killing.cutovers import PLAYS, Cutover, Play
from benchmarks.killing.moments import Moment
from benchmarks.supervisor_killed import Parameters, Scene, play, verdicts

from tests.chaos.ordeal import LIGHT

WORKERS = 2
PARAMETERS = Parameters(workers=WORKERS, mix=LIGHT)
SOME = {
    "swap": (
        "swap: after Preflight",
        "swap: after hear Prepared",
        "swap: before Committed written",
        "swap: after StoreCell",
        "swap: before send Retire",
        "migration: after send Migrate",
        "failing migration: before Aborted written",
    ),
    "roll": ("roll: after hear Prepared 3", "roll: before Committed written", "roll: before hear Yielding"),
    "roll elsewhere": (
        "further address: after Bound",
        "further address: after hear Migrated",
        "further address: after Listen",
        "failing migration: before hear Unmigrated",
    ),
    "roll in parts": (
        "parts: before Committed written",
        "parts: after StoreCell 3",
        "way back: after send HandOver",
    ),
}
"""At these only, where not every moment is asked for."""


def broken(name: str, scene: Scene) -> list[str]:
    """Promises that did not hold; the kernel's counters are those of the whole machine."""
    failed = [f"{v.claim}: {v.measured}" for v in verdicts(name, scene) if not v.holds and "kernel" not in v.claim]
    problems = [f"{trial.moment}: {problem}" for trial in scene.trials for problem in trial.problems]
    return [*failed, *problems, scene.broken] if failed else []


def chosen(each: Play, every: bool) -> tuple[tuple[Cutover, Moment], ...]:
    named = {f"{cutover.name}: {moment}": (cutover, moment) for cutover, moment in each.moments(WORKERS)}
    return tuple(named.values()) if every else tuple(named[name] for name in SOME[each.name])


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("each", PLAYS, ids=lambda each: each.name)
def test_a_cutover_is_settled_whenever_its_supervisor_dies(each: Play, every_moment: bool) -> None:
    some = chosen(each, every_moment)
    scene = play(each, some, PARAMETERS)
    assert broken(each.name, scene) == []
    assert {trial.fate for trial in scene.trials} == {moment.fate for _, moment in some}
