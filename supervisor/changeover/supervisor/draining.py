"""What operators see of plugins that were replaced or removed and are not gone: where each of them is still. Pure."""

import msgspec

from changeover.supervisor.core.retirement import State
from changeover.supervisor.core.view import LeftoverPicture, Overview
from changeover.workers.protocol.snapshot import UnitKind


class DrainingPlugin(msgspec.Struct, frozen=True):
    """A plugin that the committed generation lacks, and that some worker has.

    Attributes:
        id: Its name.
        since: The epoch that introduced it.
        state: How far it is gone.
        slots: Whose workers use it, as long as anybody does; then whose have not released it.
    """

    id: str
    since: int
    state: State
    slots: tuple[int, ...]


def draining(overview: Overview) -> tuple[DrainingPlugin, ...]:
    """Show the plugins that are on their way out, the oldest first."""
    plugins = (each for each in overview.leftovers if each.unit.ref.kind is UnitKind.PLUGIN)
    return tuple(sorted(map(_draining, plugins), key=lambda each: (each.since, each.id)))


def _draining(leftover: LeftoverPicture) -> DrainingPlugin:
    slots = leftover.used_by if leftover.state is State.DRAINING else leftover.held_by
    once = tuple(dict.fromkeys(slots))  # in a roll a slot has two workers, and both may have it
    return DrainingPlugin(leftover.unit.ref.name, leftover.unit.since, leftover.state, once)
