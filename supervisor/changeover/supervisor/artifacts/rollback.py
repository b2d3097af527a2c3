"""Bring back what an earlier epoch served, as a candidate of its own. Pure."""

from collections.abc import Iterator, Sequence

import msgspec

from changeover.supervisor.artifacts.candidate import snapshot, unit_digest
from changeover.supervisor.core.entries import Held
from changeover.supervisor.core.holding import brought_back
from changeover.workers.protocol.snapshot import (
    ApplicationSpec,
    PipelineSpec,
    Snapshot,
    UnitRef,
    UnitSpec,
)

NEVER_BROUGHT_BACK = ("data", "installed packages", "files of the application that are no modules")
"""What a rollback leaves as it is."""


def target(
    committed: Sequence[Snapshot],
    current: Snapshot,
    to: int | None,
    set_aside: frozenset[str] = frozenset(),
    held: frozenset[Held] = frozenset(),
) -> Snapshot | None:
    """Find what to go back to.

    Args:
        committed: Committed generations that are kept, oldest first.
        current: What is served.
        to: An epoch; None for the latest content before `current` that differs from it and was not rolled back.
        set_aside: Digests of generations that were rolled back already.
        held: What rollbacks set aside of each plugin and pipeline.

    Returns:
        None when there is none.
    """
    if to is not None:
        return next((each for each in committed if each.epoch == to), None)
    earlier = (each for each in reversed(committed) if each.epoch < current.epoch)
    unspoilt = (each for each in earlier if each.digest not in {current.digest, *set_aside})
    return next((each for each in unspoilt if not brought_back(held, current, each)), None)


def restored(earlier: Snapshot, current: Snapshot, epoch: int, label: str = "") -> Snapshot:
    """Make `earlier` the candidate `epoch`: its plugins, pipelines and routes, with the application that runs.

    A unit keeps its instance only if `current` has it too: content that went away and came back is a new instance.
    """
    running = current.application
    units: dict[UnitRef, UnitSpec] = {}
    for unit in earlier.units:
        if isinstance(unit, ApplicationSpec) and running is not None:
            units[unit.key.ref] = running
        elif isinstance(unit, PipelineSpec):
            units[unit.key.ref] = _redigested(unit, units)
        else:
            units[unit.key.ref] = unit
    return snapshot(units.values(), earlier.routes, epoch, current, label)


def _redigested(pipeline: PipelineSpec, units: dict[UnitRef, UnitSpec]) -> PipelineSpec:
    handlers = [str(handler) for handler in pipeline.handlers]
    requires = [units[ref].key.digest for ref in pipeline.requires]
    digest = unit_digest(pipeline.key.ref, (handlers, pipeline.target), requires)
    return msgspec.structs.replace(pipeline, key=msgspec.structs.replace(pipeline.key, digest=digest))


def left_out(earlier: Snapshot, current: Snapshot) -> Iterator[str]:
    """Say what going back to `earlier` does not bring back, for people; nothing where the application is the same."""
    old, new = earlier.application, current.application
    if old is not None and new is not None and old.key.digest == new.key.digest:
        return
    if old is not None or new is not None:
        yield f"not taken: app as it was in epoch {earlier.epoch} (needs a roll)"
        yield f"not taken: {', '.join(NEVER_BROUGHT_BACK)} (a rollback leaves them as they are)"
