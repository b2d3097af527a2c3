"""Where a worker's generations are made and unmade: the one thing that the runtime drives.

The life of a generation here: `build`, then either `discard`, or `activated` (right after the
switch, no user code) and `after_activation` (the hooks that cannot refuse); each of its units ends
with `release`, once the generation that serves lacks it and no lease holds it.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from changeover.workers.generation.switch import Generation
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.snapshot import Snapshot, UnitKey

OnDrained = Callable[[tuple[UnitKey, ...]], None]
OnDegraded = Callable[[Refusal], None]


class Workshop:
    """Builds, discards and releases, and knows every unit that is resident in this worker.

    All methods belong to the loop's thread.

    Args:
        store: The artifact store.
        hook_deadline: Seconds for one hook, one import, or one lifespan's startup or shutdown.
        on_drained: Told once of every unit that the serving generation lacks and that no lease holds any more;
            never before `activated` returned.
        on_degraded: Told of every failure that comes too late to refuse: the epoch stays.
    """

    def __init__(self, store: Path, *, hook_deadline: float, on_drained: OnDrained, on_degraded: OnDegraded) -> None:
        raise NotImplementedError

    async def build(self, snapshot: Snapshot) -> Generation | Refusal:
        """Build a generation beside what serves, sharing every unit that is resident already.

        A refusal, an error or a cancellation leaves nothing behind: what was built for it is unwound in reverse.
        """
        raise NotImplementedError

    async def discard(self, generation: Generation) -> None:
        """Unwind a generation that was built and never activated."""
        raise NotImplementedError

    def activated(self, old: Generation, new: Generation) -> tuple[UnitKey, ...]:
        """Take note that the pointer moved; runs no user code and does not fail.

        Returns:
            The units that `new` lacks and that are still resident, older generations' included.
        """
        raise NotImplementedError

    async def after_activation(self, old: Generation, new: Generation) -> None:
        """Run `on_deactivate` of what was replaced and `on_activate` of what is new; failures go to `on_degraded`."""
        raise NotImplementedError

    async def release(self, units: Iterable[UnitKey]) -> tuple[UnitKey, ...]:
        """Release drained units in reverse build order: hooks, lifespans, modules, references.

        Returns:
            What was released now; a unit that was released before is passed over.

        Raises:
            StillHeld: A unit serves, is prepared, or is leased. Nothing is released.
        """
        raise NotImplementedError

    def resident(self) -> tuple[UnitKey, ...]:
        """Every unit whose instance lives here: serving, prepared, or draining."""
        raise NotImplementedError

    async def close(self) -> None:
        """End everything, in reverse: the worker leaves. Leases are not waited for."""
        raise NotImplementedError
