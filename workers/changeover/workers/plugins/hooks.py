"""Runs the hooks of plugins: each with a deadline, each failure worded as a refusal.

Hooks before the commit and `on_unload` run in the loader thread unless they are async; what comes
right after the commit runs on the loop, where consumers and timers belong. A hook cannot end the
worker: SystemExit and KeyboardInterrupt are failures of the plugin like any other. One that
keeps the loop from running for too long at one stretch is told of.
"""

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from changeover.workers.plugins.refused import Refused, Site, refusal_of
from changeover.workers.plugins.stalls import LIMIT, Timed
from changeover.workers.plugins.thread import LoaderThread, Outcome, ThreadHung
from changeover.workers.plugins.witness import DEAF, Witness
from changeover.workers.protocol.refusal import Stage
from changeover.workers.serving.attribution import UnitWork, current_work
from changeover.workers.serving.late import HookBlocked, HookTimeout, waiting_at
from changeover.workers.serving.lease import current_lease

T = TypeVar("T")

GRACE = 1.0
"""Seconds in which a hook that missed its deadline may react to being cancelled."""
_UNDOING = ("unmigrate", "on_unload")
"""Hooks that undo something, and refuse nothing before a commit either."""
_TOLD = ("on_activate", "on_deactivate")
"""Hooks after a commit of which a failure is told, and that nobody makes good."""


class Hooks:
    """Runs hooks, and other pieces of a plugin's code that come before a commit.

    Args:
        deadline: Seconds for each.
        witness: Hears what happens beside what fails.
        rehearses: Whether a hook that returned after its deadline has failed in any case: nobody is served, and what
            it did goes with the process.

    Attributes:
        deadline: Seconds for each.
        witness: Hears what happens beside what fails.
    """

    def __init__(self, deadline: float, witness: Witness = DEAF, *, rehearses: bool = False) -> None:
        self.deadline = deadline
        self.witness = witness
        self._rehearses = rehearses
        self._thread = LoaderThread()

    @property
    def left_behind(self) -> int:
        """How many threads hang in a plugin's code, past its deadline."""
        return self._thread.left_behind

    async def beside(self, call: Callable[[], T], site: Site, work: UnitWork | None = None) -> T:
        """Run `call` in the loader thread; an awaitable that it returns is awaited on the loop, in the same context.

        Raises:
            Refused: It raised, or missed the deadline.
        """
        context = _context(work)
        self.witness.begins(site.unit, site.hook or site.stage.value)
        try:
            outcome = await self._thread.run(call, self.deadline, context)
        except ThreadHung as hung:
            self.witness.hung(site.unit, site.hook or site.stage.value)
            raise Refused(refusal_of(hung, site)) from None
        value = _taken(outcome, site)
        if inspect.isawaitable(value):
            return cast(T, _taken(await self._awaited(lambda: value, context, site, self.deadline), site))
        return value

    async def hook(self, hook: Callable[..., Any], *args: object, site: Site, work: UnitWork | None) -> None:
        """Run a hook: on the loop when it is `async def`, in the loader thread otherwise.

        Raises:
            Refused: It raised, or missed the deadline.
        """
        if inspect.iscoroutinefunction(hook):
            await self.on_loop(hook, *args, site=site, work=work)
        else:
            await self.beside(lambda: hook(*args), site, work)

    async def on_loop(
        self,
        hook: Callable[..., Any],
        *args: object,
        site: Site,
        work: UnitWork | None,
        deadline: float | None = None,
    ) -> Any:
        """Run a hook on the loop; one that is not async must not block.

        Args:
            hook: What to call.
            args: Its arguments.
            site: What is going on, for a refusal.
            work: The unit that tasks and threads which it starts belong to.
            deadline: Seconds, when they differ from everybody's.

        Returns:
            What the hook returned.

        Raises:
            Refused: It raised, or missed the deadline.
        """

        async def call() -> Any:
            result = hook(*args)
            return await result if inspect.isawaitable(result) else result

        return _taken(await self._awaited(call, _context(work), site, deadline or self.deadline), site)

    async def _awaited(
        self, call: Callable[[], Awaitable[T]], context: contextvars.Context, site: Site, deadline: float
    ) -> Outcome[T]:
        self.witness.begins(site.unit, site.hook or site.stage.value)
        timed = Timed(_guarded(call))
        task = asyncio.get_running_loop().create_task(timed, name=f"{site.unit} {site.hook}", context=context)
        try:
            await asyncio.wait({task}, timeout=deadline)
        except asyncio.CancelledError:
            await _cancelled(task)
            raise
        finally:
            if timed.longest > LIMIT:
                self.witness.stalled(site.unit, site.hook or site.stage.value, timed.longest)
        if task.done():
            return self._in_time(task.result(), timed.longest, site, deadline)
        late = HookTimeout(deadline, waiting_at(task))
        self.witness.hung(site.unit, site.hook or site.stage.value)
        await _cancelled(task)
        raise Refused(refusal_of(late, site))

    def _in_time(self, outcome: Outcome[T], longest: float, site: Site, deadline: float) -> Outcome[T]:
        """What came of a hook; an error when one step of it took longer than all may, unless that would be worse.

        In a worker what undoes something is not left, and a merge that is taken for failed would be made twice.
        """
        can_fail = site.hook in _TOLD or (site.stage is not Stage.COMMIT and site.hook not in _UNDOING)
        if longest <= deadline or outcome.error is not None or not (can_fail or self._rehearses):
            return outcome
        self.witness.hung(site.unit, site.hook or site.stage.value)
        return Outcome(error=HookBlocked(deadline, longest))

    def close(self) -> None:
        """Let the loader thread end."""
        self._thread.close()


async def stop_work(work: UnitWork) -> tuple[str, ...]:
    """Cancel the tasks that a unit left running.

    Returns:
        The names of tasks that ignore it, and of threads, which cannot be stopped from outside.
    """
    tasks = [task for task in work.tasks if not task.done()]
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=GRACE)
    return tuple(work.alive())


async def _guarded(call: Callable[[], Awaitable[T]]) -> Outcome[T]:
    """An error as a value: SystemExit that leaves a task would end the loop."""
    try:
        return Outcome(await call())
    except BaseException as error:  # noqa: BLE001 - whatever a plugin raises is its own failure
        return Outcome(error=error)


async def _cancelled(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    await asyncio.wait({task}, timeout=GRACE)


def _taken(outcome: Outcome[T], site: Site) -> T:
    if outcome.error is not None:
        raise Refused(refusal_of(outcome.error, site))
    return outcome.take()


def _context(work: UnitWork | None) -> contextvars.Context:
    """A context in which whatever is started belongs to the unit and to no request."""
    context = contextvars.copy_context()
    context.run(current_lease.set, None)
    context.run(current_work.set, work)
    return context
