"""Server hooks of the supervisor, in processes of their own, because it imports no code of yours; only the start waits
for them."""

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Any

import msgspec

from changeover.supervisor.config.accounts import Account
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.core.records.cutover import CutoverCompleted
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.errors import SupervisorError
from changeover.supervisor.interpreters.paths import executable
from changeover.workers.runtime.hook_command import FUNCTION, run_command, run_program

logger = logging.getLogger("changeover")

WAITING = 100
"""Committed cutovers that may wait for their hook; past that the oldest are passed over."""
CALLS = "changeover.workers.runtime.hook_function"
"""The program that calls a function."""


class BootRefused(SupervisorError):
    """`before_boot` failed: nothing was started."""

    def __init__(self, named: str, problem: str) -> None:
        super().__init__(f"hook before_boot: {named} {problem}; nothing was started")


class SupervisorHooks:
    """Runs the supervisor's hooks, one at a time: commands as itself, functions as workers are executed.

    Args:
        settings: The service's settings.
        account: Whom workers run as, whenever asked; None for ourselves.
    """

    def __init__(self, settings: Settings, account: Callable[[], Account | None]) -> None:
        self._settings = settings
        self._hooks = settings.hooks
        self._account = account
        self._waiting: list[CutoverCompleted] = []
        self._running: asyncio.Task[None] | None = None

    async def before_boot(self) -> None:
        """Run it before anything is bound or started.

        Raises:
            BootRefused: It failed, or was not done in time.
        """
        named = self._hooks.before_boot
        if named and (problem := await self._run("before_boot", named)):
            raise BootRefused(named, problem)

    def hear(self, record: Record) -> None:
        """Run `cutover_committed` beside everything else when there was one."""
        if isinstance(record, CutoverCompleted) and self._hooks.cutover_committed:
            self._waiting = [*self._waiting, record][-WAITING:]
            if self._running is None or self._running.done():
                self._running = asyncio.get_running_loop().create_task(self._run_all())

    async def close(self) -> None:
        """End what runs, if need be by force."""
        self._waiting.clear()
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running}, timeout=1.0)

    async def _run_all(self) -> None:
        named = self._hooks.cutover_committed
        while self._waiting:
            record = self._waiting.pop(0)
            if problem := await self._run("cutover_committed", named, record=msgspec.to_builtins(record)):
                logger.warning("hook cutover_committed: %s %s; epoch %d serves", named, problem, record.epoch)

    async def _run(self, hook: str, named: str, **more: Any) -> str:
        """Why it failed, in words; empty when it did not."""
        told = msgspec.json.encode({"hook": hook, "service": self._settings.name, **more})
        if not FUNCTION.fullmatch(named):
            return await run_command(named, told, self._hooks.deadline)
        app = self._settings.app
        call = [executable(self._settings.python), "-P", "-m", CALLS, app.dir if app else "", named]
        return await run_program(call, told, self._hooks.deadline, **_as(self._account()))


def _as(account: Account | None) -> dict[str, Any]:
    """How a process is made that runs as an account."""
    if account is None:
        return {}
    environment = {**os.environ, **account.environment()}
    return {"user": account.uid, "group": account.gid, "extra_groups": account.groups, "env": environment}
