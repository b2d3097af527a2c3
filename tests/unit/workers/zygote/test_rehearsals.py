"""A keeper that was told to end is dead in the end, also one that can do nothing about it."""

import math
import os
import signal
import time

import pytest

from changeover.workers.zygote import rehearsals
from changeover.workers.zygote.rehearsals import Rehearsals
from tests.waits import until_sync


def stay(order: int, name: str, answer: int, line: int) -> None:
    time.sleep(60)


def test_one_that_somebody_stopped_is_killed_once_it_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsals, "LATE", 0.2)
    held = Rehearsals()
    keeper = held.begin(1, (0,), stay, "shop")
    os.kill(keeper.pid, signal.SIGSTOP)
    held.kill_late()
    assert (held.due(), keeper.is_dead()) == (math.inf, False)
    held.end(1)
    assert 0 < held.due() <= 0.2

    def gone() -> bool:
        held.kill_late()
        held.settle()
        return not held

    until_sync(gone, "it to be dead")
    assert held.due() == math.inf
