"""A reload by hand, for hosts with kinds of their own: whatever lives in versions and is held by who uses it.

The worker's units need none of this: their leases are counted by unit set. A host that keeps, say,
connection pools or models beside its generations gives each version a `PluginLifecycle`, holds it
while it uses it, and replaces it with an `EpochFencedReload`. Any thread may, and any loop.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from changeover.workers.errors import ChangeoverError
from changeover.workers.plugins.lifecycle import TRANSITIONS, Lifecycle, State, Step

_ONWARDS = {before: step for before, step in TRANSITIONS if step is not Step.UNWIND}
"""State -> the step that leads on from it."""


class DrainError(ChangeoverError):
    """What was to be drained cannot be, or is not yet.

    Attributes:
        plugin: Its name.
        current: Its state.
        leases: How many hold it.
        waited: Seconds that were waited; 0 where nobody waits.
    """

    def __init__(self, plugin: str, current: State, leases: int, fact: str, waited: float = 0.0) -> None:
        self.plugin = plugin
        self.current = current
        self.leases = leases
        self.waited = waited
        super().__init__(f"{plugin} {fact}; it is {current.value}, leases left: {leases}")


class NotActive(DrainError):
    """Something was to be drained, or held, that does not serve: not yet, or not any more."""

    def __init__(self, plugin: str, current: State, leases: int) -> None:
        super().__init__(plugin, current, leases, "is not Active")


class UnexpectedTransition(DrainError):
    """Something that was waited for is not Draining: nobody began, or somebody else finished.

    Attributes:
        reached: The state in which it was found.
    """

    def __init__(self, plugin: str, reached: State, waited: float, leases: int) -> None:
        self.reached = reached
        super().__init__(plugin, reached, leases, f"was waited for, {waited:.3g} s, and is not Draining", waited)


class DrainTimeout(DrainError):
    """Something is still held."""

    def __init__(self, plugin: str, current: State, waited: float, leases: int) -> None:
        super().__init__(plugin, current, leases, f"is still held after {waited:.3g} s", waited)


class Hold:
    """One hold on a version, until `release`; a context manager."""

    __slots__ = ("_lifecycle",)

    def __init__(self, lifecycle: "PluginLifecycle") -> None:
        self._lifecycle: PluginLifecycle | None = lifecycle

    def release(self) -> None:
        """Let go; once is enough, and more does nothing."""
        lifecycle, self._lifecycle = self._lifecycle, None
        if lifecycle is not None:
            lifecycle._released()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class PluginLifecycle:
    """Where one version stands, and how many hold it; forward only.

    Args:
        plugin: Its name, for messages.
        state: Where it stands already, for what was begun elsewhere.

    Attributes:
        plugin: Its name.
    """

    def __init__(self, plugin: str, state: State = State.LOADED) -> None:
        self.plugin = plugin
        self._lifecycle = Lifecycle(plugin)
        self._lifecycle.state = state
        self._leases = 0
        self._changed = threading.Condition()
        self._watchers: set[Callable[[], None]] = set()

    @property
    def state(self) -> State:
        """How far it has come."""
        return self._lifecycle.state

    @property
    def leases(self) -> int:
        """How many hold it."""
        return self._leases

    @property
    def is_active(self) -> bool:
        """Whether it serves."""
        return self.state is State.ACTIVE

    @property
    def is_winding_down(self) -> bool:
        """Whether it does not serve any more."""
        return self.state in (State.DRAINING, State.REMOVED)

    def advance(self) -> State:
        """Go on to the next state and return it; what is Removed stays so."""
        with self._changed:
            if (step := _ONWARDS.get(self.state)) is not None:
                self._lifecycle.advance(step)
            self._tell()
            return self.state

    def hold(self) -> Hold:
        """Hold it for as long as it is used.

        Raises:
            NotActive: It does not serve: take the version that does.
        """
        with self._changed:
            if not self.is_active:
                raise NotActive(self.plugin, self.state, self._leases)
            self._leases += 1
        return Hold(self)

    def _released(self) -> None:
        with self._changed:
            self._leases -= 1
            self._tell()

    def _tell(self) -> None:
        self._changed.notify_all()
        for watcher in self._watchers:
            watcher()

    def _drain(self) -> None:
        with self._changed:
            if not self.is_active:
                raise NotActive(self.plugin, self.state, self._leases)
            self.advance()

    def _remove(self) -> None:
        with self._changed:
            while self.state is not State.REMOVED:
                self.advance()

    def _is_free(self, threshold: int, began: float) -> bool:
        """Whether at most `threshold` hold it, for who waits since `began` on the monotonic clock.

        Raises:
            UnexpectedTransition: More do, and it does not drain.
        """
        with self._changed:
            if self._leases > threshold and self.state is not State.DRAINING:
                raise UnexpectedTransition(self.plugin, self.state, time.monotonic() - began, self._leases)
            return self._leases <= threshold


class EpochFencedReload:
    """Replaces one version by another: fence the old one off, wait until nobody holds it, end it.

    Load the new version and let it serve between `begin_drain` and the wait, or before both.

    Args:
        old: Where the version stands that is replaced.

    Attributes:
        old_lifecycle: The same.
    """

    def __init__(self, old: PluginLifecycle) -> None:
        self.old_lifecycle = old

    def begin_drain(self) -> None:
        """Fence the old version off: from now on nobody can take hold of it.

        Raises:
            NotActive: It does not serve; nothing changed.
        """
        self.old_lifecycle._drain()

    def wait_for_drain(self, threshold: int = 0, poll_interval: float = 0.05, max_wait: float = 30.0) -> None:
        """Block this thread until nobody holds the old version; not for the thread of a loop, which has `drained`.

        Args:
            threshold: How many leases may be left, such as the caller's own.
            poll_interval: Seconds after which it looks again, at the latest: a release wakes it.
            max_wait: Seconds that it waits at most.

        Raises:
            DrainTimeout: Somebody still holds it; it goes on draining.
            UnexpectedTransition: It is held, and does not drain.
        """
        old, began = self.old_lifecycle, time.monotonic()
        with old._changed:
            while not old._is_free(threshold, began):
                waited = time.monotonic() - began
                if waited >= max_wait:
                    raise DrainTimeout(old.plugin, old.state, waited, old.leases)
                old._changed.wait(min(poll_interval, max_wait - waited))

    async def drained(self, threshold: int = 0, max_wait: float = 30.0) -> None:
        """Wait like `wait_for_drain`, on a loop.

        Raises:
            DrainTimeout: Somebody still holds it; it goes on draining.
            UnexpectedTransition: It is held, and does not drain.
        """
        old, began, changed = self.old_lifecycle, time.monotonic(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(changed.set)

        with old._changed:
            old._watchers.add(wake)
        try:
            async with asyncio.timeout(max_wait):
                while not old._is_free(threshold, began):
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            raise DrainTimeout(old.plugin, old.state, time.monotonic() - began, old.leases) from None
        finally:
            with old._changed:
                old._watchers.discard(wake)

    def finalize(self) -> None:
        """End the old version: it is Removed, wherever it stood. Once is enough, and more does nothing.

        Whoever still holds it uses what has ended: wait first.
        """
        self.old_lifecycle._remove()
