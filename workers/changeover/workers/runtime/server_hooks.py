"""Server hooks in a worker: functions or commands that the configuration names, each with a deadline."""

import asyncio
import inspect
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from changeover.workers.plugins.refused import Origin, Site, refusal_of
from changeover.workers.plugins.thread import LoaderThread
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.runtime.hook_command import FUNCTION, hook_function, run_command
from changeover.workers.runtime.settings import Birth, WorkerHooks

logger = logging.getLogger("changeover.worker")

Told = dict[str, str | int]


WHOSE, FIRST = "server hook", "after_fork"


class HookFailed(Exception):
    """`after_fork` failed: the worker does not boot.

    Attributes:
        refusal: Why, for whoever waits for the worker.
    """

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(refusal.line)


class ServerHooks:
    """The hooks of one worker.

    Args:
        birth: Whose.
    """

    def __init__(self, birth: Birth) -> None:
        worker = birth.worker
        self._hooks: WorkerHooks = birth.settings.hooks
        self._facts: Told = {
            "service": birth.settings.name,
            "cohort": worker.cohort,
            "slot": worker.slot,
            "incarnation": worker.incarnation,
            "pid": os.getpid(),
        }

    def after_fork(self) -> None:
        """Call it in the only thread, before there is a loop.

        Raises:
            HookFailed: It failed, or was not done in time.
        """
        named = self._hooks.after_fork
        if FUNCTION.fullmatch(named):
            try:
                call_in_time(named, self._told("after_fork"), self._hooks.deadline)
            except Exception as error:
                raise HookFailed(_refusal(named, error)) from error
        elif named:
            with asyncio.Runner() as runner:
                problem = runner.run(run_command(named, self._encoded("after_fork"), self._hooks.deadline))
            if problem:
                raise HookFailed(Refusal(Stage.PREPARE, Fault.CRASH, f"{named} {problem}", WHOSE, FIRST))

    async def run(self, hook: str, most: float = float("inf")) -> None:
        """Run `worker_ready` or `worker_exit`; what goes wrong is logged and stops nothing.

        Args:
            hook: Its name.
            most: Seconds that it has at most, if its own deadline is longer.
        """
        named: str = getattr(self._hooks, hook)
        if not named:
            return
        deadline = min(self._hooks.deadline, most)
        try:
            if FUNCTION.fullmatch(named):
                await self._call(named, hook, deadline)
            elif problem := await run_command(named, self._encoded(hook), deadline):
                logger.warning("slot %s: hook %s: %s %s", self._facts["slot"], hook, named, problem)
        except TimeoutError:
            logger.warning("slot %s: hook %s: %s was not done within %g s", self._facts["slot"], hook, named, deadline)
        except Exception:
            logger.exception("slot %s: hook %s: %s failed", self._facts["slot"], hook, named)

    async def _call(self, named: str, hook: str, deadline: float) -> None:
        """Import the function beside the loop, where it runs too unless it is async; all within one deadline."""
        until = asyncio.get_running_loop().time() + deadline
        thread = LoaderThread()
        try:
            function = (await thread.run(lambda: self._begin(named, hook), deadline)).take()
        finally:
            thread.close()
        if function is not None:
            async with asyncio.timeout_at(until):
                await function(self._told(hook))

    def _begin(self, named: str, hook: str) -> Callable[[Told], Any] | None:
        """In the thread: run the function, or return it when it is for the loop."""
        function = hook_function(named)
        if inspect.iscoroutinefunction(function):
            return function
        function(self._told(hook))
        return None

    def _told(self, hook: str) -> Told:
        return {"hook": hook, **self._facts}

    def _encoded(self, hook: str) -> bytes:
        return msgspec.json.encode(self._told(hook))


def _refusal(named: str, error: Exception) -> Refusal:
    module = sys.modules.get(named.partition(":")[0])
    folder = Path(getattr(module, "__file__", None) or "nowhere").parent
    refusal = refusal_of(error, Site(Stage.PREPARE, WHOSE, FIRST, Origin(folder)))
    return msgspec.structs.replace(refusal, summary=f"{named} failed: {refusal.summary}")


def call_in_time(named: str, told: Told, seconds: float) -> None:
    """Call a function of a server hook in the only thread, before there is a loop.

    Args:
        named: `module:function`.
        told: What it is given.
        seconds: What it has, its import included.

    Raises:
        TimeoutError: It was not done in time.
        BaseException: Whatever it raises.
    """
    with _deadline(seconds):
        hook_function(named)(told)


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Interrupt what runs in the main thread."""

    def late(_signum: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"not done within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
