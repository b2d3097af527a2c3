"""The supervisor is killed at steps of every kind of cutover, and the next one settles what it left."""

import pytest
from benchmarks.killing.cutovers import CUTOVERS, Cutover
from benchmarks.killing.moments import Fate, Moment
from benchmarks.supervisor_killed import Parameters, Scene, play, verdicts

from tests.chaos.ordeal import LIGHT

WORKERS = 2
PARAMETERS = Parameters(workers=WORKERS, mix=LIGHT)
SOME = {
    "swap": (
        "after Preflight",
        "after hear Prepared",
        "before Committed written",
        "after StoreCell",
        "before send Retire",
    ),
    "roll": ("after hear Prepared 3", "before Committed written", "before hear Yielding"),
    "swap that migrates": ("after send Migrate",),
    "swap whose migration fails": ("before Aborted written",),
    "roll elsewhere": ("after Bound", "after hear Migrated", "after Listen"),
    "roll elsewhere whose migration fails": ("before hear Unmigrated",),
    "roll in parts": ("before Committed written", "after StoreCell 3"),
    "way back of a roll in parts": ("after send HandOver",),
}
"""At these only, where not every moment is asked for."""
FATES = {
    "swap": {Fate.ABORTED, Fate.COMMITTED},
    "roll": {Fate.ABORTED, Fate.COMMITTED},
    "roll in parts": {Fate.REVERTED, Fate.COMMITTED_LAST},
}


def broken(name: str, scene: Scene) -> list[str]:
    """Promises that did not hold; the kernel's counters are those of the whole machine."""
    failed = [f"{v.claim}: {v.measured}" for v in verdicts(name, scene) if not v.holds and "kernel" not in v.claim]
    problems = [f"{trial.moment}: {problem}" for trial in scene.trials for problem in trial.problems]
    return [*failed, *problems, scene.broken] if failed else []


def chosen(cutover: Cutover, every: bool) -> tuple[Moment, ...]:
    all_of_them, some = cutover.moments(WORKERS), SOME.get(cutover.name, ())
    assert set(some) <= set(map(str, all_of_them))
    return all_of_them if every else tuple(moment for moment in all_of_them if str(moment) in some)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "cutover",
    [
        pytest.param(each, id=each.name, marks=[] if each.name in SOME else pytest.mark.every_moment)
        for each in CUTOVERS
    ],
)
def test_a_cutover_is_settled_whenever_its_supervisor_dies(cutover: Cutover, every_moment: bool) -> None:
    scene = play(cutover, chosen(cutover, every_moment), PARAMETERS)
    assert broken(cutover.name, scene) == []
    assert {trial.fate for trial in scene.trials} >= FATES.get(cutover.name, set())
