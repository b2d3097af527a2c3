"""Server hooks of the supervisor: commands, because it imports no code of yours; only the start waits for them."""

import asyncio
import logging

import msgspec

from changeover.supervisor.config.settings import Hooks
from changeover.supervisor.core.records.cutover import CutoverCompleted
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.errors import SupervisorError
from changeover.workers.runtime.hook_command import run_command

logger = logging.getLogger("changeover")

WAITING = 100
"""Committed cutovers that may wait for their command; past that the oldest are passed over."""


class BootRefused(SupervisorError):
    """`before_boot` failed: nothing was started."""

    def __init__(self, command: str, problem: str) -> None:
        super().__init__(f"hook before_boot: {command} {problem}; nothing was started")


class Commands:
    """Runs the supervisor's hooks, one at a time.

    Args:
        hooks: Which.
        name: The service's name.
    """

    def __init__(self, hooks: Hooks, name: str) -> None:
        self._hooks = hooks
        self._name = name
        self._waiting: list[CutoverCompleted] = []
        self._running: asyncio.Task[None] | None = None

    async def before_boot(self) -> None:
        """Run it before anything is bound or started.

        Raises:
            BootRefused: It failed, or was not done in time.
        """
        command = self._hooks.before_boot
        if command:
            told = msgspec.json.encode({"hook": "before_boot", "service": self._name})
            if problem := await run_command(command, told, self._hooks.deadline):
                raise BootRefused(command, problem)

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
        while self._waiting:
            record = self._waiting.pop(0)
            facts = {"hook": "cutover_committed", "service": self._name, "record": msgspec.to_builtins(record)}
            command = self._hooks.cutover_committed
            if problem := await run_command(command, msgspec.json.encode(facts), self._hooks.deadline):
                logger.warning("hook cutover_committed: %s %s; epoch %d serves", command, problem, record.epoch)
