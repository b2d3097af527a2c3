"""Bring back what an earlier epoch served, as a candidate of its own. Pure."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from changeover.supervisor.artifacts.candidate import linked, reinstalled, snapshot
from changeover.supervisor.artifacts.initializers import with_selection_of
from changeover.supervisor.core.entries import Held
from changeover.supervisor.core.holding import application_content, brought_back
from changeover.workers.protocol.snapshot import ChannelSpec, Snapshot, UnitSpec

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
        held: What is held of each plugin and pipeline: what rollbacks set aside is not gone back to, while going back
            to what a removal took out is how that is undone.

    Returns:
        None when there is none.
    """
    if to is not None:
        return next((each for each in committed if each.epoch == to), None)
    earlier = (each for each in reversed(committed) if each.epoch < current.epoch)
    unspoilt = (each for each in earlier if each.digest not in {current.digest, *set_aside})
    rolled_back = [each for each in held if not each.removed]
    return next((each for each in unspoilt if not brought_back(rolled_back, current, each)), None)


def restored(earlier: Snapshot, current: Snapshot, epoch: int, label: str = "", *, rolls: bool = False) -> Snapshot:
    """Make `earlier` the candidate `epoch`: a roll, when other processes serve it or `rolls` says so.

    Others do when it had another application, interpreter, or other addresses.

    What comes before the first message stays as it serves: an earlier certificate may have expired.

    A unit keeps its instance only if `current` has it too: content that went away and came back is a new instance. The
    interpreter that it had stays until the configuration names another than it does now.
    """
    executes = current.interpreter
    if earlier.interpreter.python:
        executes = msgspec.structs.replace(earlier.interpreter, configured=executes.configured)
    rolls = rolls or processes_differ(earlier, current) or not earlier.listens_as(current)
    listen = earlier.listen or current.listen
    units: tuple[UnitSpec, ...] = tuple(unit for unit in earlier.units if not isinstance(unit, ChannelSpec))
    digests = {unit.key.ref: unit.key.digest for unit in units}
    units += tuple(linked(channel, digests, epoch) for channel in _channels(earlier, current, listen))
    return snapshot(units, earlier.routes, epoch, current, label, rolls=rolls, interpreter=executes, listen=listen)


def as_installed(earlier: Snapshot, installed: str) -> Snapshot:
    """`earlier` as if its application had been taken with what the record `installed` says."""
    application = earlier.application
    if application is None or application.distributions in ("", installed):
        return earlier
    return msgspec.structs.replace(earlier, units=reinstalled(earlier.units, installed))


def _channels(earlier: Snapshot, current: Snapshot, listen: Iterable[str]) -> Iterator[ChannelSpec]:
    """Certificates stay as they serve: the earlier ones may have expired. Where nothing serves now, they are back.

    What is selected goes back, with the plugins that it names.
    """
    before = {unit.key.ref.name: unit for unit in earlier.channels}
    there = {unit.key.ref.name: with_selection_of(unit, before.get(unit.key.ref.name)) for unit in current.channels}
    back = {unit.key.ref.name: unit for unit in earlier.channels if unit.key.ref.name not in current.listen}
    selected = {name: unit for name, unit in before.items() if name not in there | back}
    back |= {name: msgspec.structs.replace(unit, tls=None, proxies=()) for name, unit in selected.items()}
    yield from (unit for name, unit in sorted((there | back).items()) if name in listen and not unit.is_bare)


def processes_differ(earlier: Snapshot, current: Snapshot) -> bool:
    """Whether other processes are needed."""
    same = application_content(earlier.application) == application_content(current.application)
    return not same or earlier.interpreter.is_other(current.interpreter)


def left_out(earlier: Snapshot, current: Snapshot) -> Iterator[str]:
    """Say what going back to `earlier` does not bring back, for people; nothing where the application is the same."""
    if processes_differ(earlier, current):
        yield f"not taken: {', '.join(NEVER_BROUGHT_BACK)} (a rollback leaves them as they are)"
