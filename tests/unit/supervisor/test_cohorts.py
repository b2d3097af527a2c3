"""Zygotes of other interpreters are asked for before they are executed."""

import asyncio
import os
import sys
import threading
from pathlib import Path

import pytest

from changeover.supervisor.cohorts import Cohorts, Whereabouts
from changeover.supervisor.core.events import Event, ZygoteLost
from changeover.supervisor.interpreters.answer import InterpreterUnfit
from changeover.supervisor.process.zygote_process import ZygotePlan
from changeover.workers.protocol.belongings import Belongings
from changeover.workers.protocol.refusal import Fault, Stage
from changeover.workers.protocol.snapshot import OWN, ApplicationSpec, Interpreter
from tests.waits import until

OTHER = Interpreter("/other/bin/python", "3.12.1")


class Supervisor:
    """Cohorts, and what was told of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[Event] = []
        self.asked: list[Interpreter] = []
        self.answer = threading.Event()
        places = Whereabouts(self.socket, folder / "cell")
        self.cohorts = Cohorts(self.plan, places, self.told.append, lambda slot: None, self.require)

    def plan(
        self, cohort: int, rolled: int, application: ApplicationSpec | None, interpreter: Interpreter
    ) -> ZygotePlan:
        python = interpreter.python or sys.executable
        return ZygotePlan(cohort, "shop", python, str(self.folder), os.environ, Belongings())

    def socket(self, cohort: int) -> Path:
        return self.folder / ("no-such-folder" if cohort == 9 else "") / f"{cohort}.sock"

    def require(self, interpreter: Interpreter) -> None:
        self.asked.append(interpreter)
        assert self.answer.wait(10)
        raise InterpreterUnfit(interpreter.python, "is not there any more")


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    return Supervisor(tmp_path)


async def test_one_that_cannot_execute_it_any_more_is_nobodys_content(supervisor: Supervisor) -> None:
    supervisor.cohorts.start(2, 2, None, OTHER)
    assert supervisor.told == []
    supervisor.answer.set()
    await until(lambda: supervisor.told, "the answer")
    [lost] = supervisor.told
    assert isinstance(lost, ZygoteLost)
    assert (lost.cohort, lost.reason) == (2, "python /other/bin/python is not there any more")
    assert lost.refusal is not None
    assert (lost.refusal.stage, lost.refusal.fault) == (Stage.PREPARE, Fault.RESOURCE)
    assert supervisor.asked == [OTHER]


async def test_one_that_is_not_wanted_any_more_before_it_answered_is_lost_once(supervisor: Supervisor) -> None:
    supervisor.cohorts.start(2, 2, None, OTHER)
    await until(lambda: supervisor.asked, "the question")
    supervisor.cohorts.stop(2)
    supervisor.answer.set()
    await asyncio.get_running_loop().shutdown_default_executor()
    assert supervisor.told == [ZygoteLost(2, "it was told to leave before it began")]


async def test_ours_is_not_asked_and_what_the_system_refuses_is_nobodys_content(supervisor: Supervisor) -> None:
    supervisor.cohorts.start(9, 9, None, OWN)
    [lost] = supervisor.told
    assert isinstance(lost, ZygoteLost)
    assert "cannot start the zygote of cohort 9" in lost.reason
    assert lost.refusal is not None
    assert lost.refusal.fault is Fault.RESOURCE
    assert supervisor.asked == []


async def test_letting_go_ends_what_is_asked(supervisor: Supervisor) -> None:
    supervisor.cohorts.start(2, 2, None, OTHER)
    await until(lambda: supervisor.asked, "the question")
    supervisor.cohorts.close()
    supervisor.answer.set()
    await asyncio.get_running_loop().shutdown_default_executor()
    assert supervisor.told == []
