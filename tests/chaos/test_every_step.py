"""The supervisor is killed at steps of a swap and of a roll, and the next one settles what it left."""

import pytest
from benchmarks.killing import moments
from benchmarks.killing.moments import Fate, Moment
from benchmarks.subject import Kind
from benchmarks.supervisor_killed import Parameters, Scene, play, verdicts

from tests.chaos.ordeal import LIGHT

WORKERS = 2
PARAMETERS = Parameters(workers=WORKERS, mix=LIGHT)
SWAP = (
    "after Preflight",
    "after hear Prepared",
    "before Committed written",
    "after StoreCell",
    "before send Retire",
)
ROLL = ("after hear Prepared 3", "before Committed written", "before hear Yielding")


def broken(name: str, scene: Scene) -> list[str]:
    """Promises that did not hold; the kernel's counters are those of the whole machine."""
    failed = [f"{v.claim}: {v.measured}" for v in verdicts(name, scene) if not v.holds and "kernel" not in v.claim]
    problems = [f"{trial.moment}: {problem}" for trial in scene.trials for problem in trial.problems]
    return [*failed, *problems, scene.broken] if failed else []


def chosen(all_of_them: tuple[Moment, ...], some: tuple[str, ...], every: bool) -> tuple[Moment, ...]:
    assert set(some) <= set(map(str, all_of_them))
    return all_of_them if every else tuple(moment for moment in all_of_them if str(moment) in some)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_swap_is_settled_whenever_its_supervisor_dies(every_moment: bool) -> None:
    scene = play(Kind.PLUGIN, chosen(moments.of_swap(WORKERS), SWAP, every_moment), PARAMETERS)
    assert broken("swap", scene) == []
    assert {trial.fate for trial in scene.trials} >= {Fate.ABORTED, Fate.COMMITTED}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_roll_is_settled_whenever_its_supervisor_dies(every_moment: bool) -> None:
    scene = play(Kind.APPLICATION, chosen(moments.of_roll(WORKERS), ROLL, every_moment), PARAMETERS)
    assert broken("roll", scene) == []
    assert {trial.fate for trial in scene.trials} >= {Fate.ABORTED, Fate.COMMITTED}
