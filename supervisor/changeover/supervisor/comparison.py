"""What differs between two generations, unit by unit. Pure."""

from collections.abc import Callable, Container, Iterable, Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from changeover.supervisor.artifacts.difference import channel_changes, handler_changes
from changeover.supervisor.core.entries import SlotRefusal
from changeover.supervisor.core.outcome import NeedsRoll, Outcome, Planned, Refused, Unchanged, Undecided
from changeover.supervisor.telemetry.amounts import NOT_TAKEN
from changeover.workers.protocol.snapshot import (
    ApplicationSpec,
    ChannelSpec,
    PipelineSpec,
    PluginSpec,
    Route,
    Snapshot,
    UnitRef,
    UnitSpec,
)

Files = Callable[[UnitSpec, UnitSpec], Iterable[str]]
"""Names of the files that differ between two contents of a unit."""

APPLICATION = ("target", "directory", "interface", "factory", "root_path", "preload", "threads")
"""Settings of an application that are part of its content."""


class Version(msgspec.Struct, frozen=True):
    """One unit in one of two generations.

    Attributes:
        version: Of a plugin, empty otherwise.
        digest: SHA-256, hexadecimal.
        since: The epoch that introduced this instance; of what is only on disk 0.
    """

    version: str
    digest: str
    since: int


class UnitDifference(msgspec.Struct, frozen=True):
    """One unit that is not the same in both.

    Attributes:
        unit: Kind and name (`plugin pricing`).
        before: As it is in the first; null where that has none.
        after: As it is in the second; null where that has none.
        changes: What differs, in words.
        files: Names of its files that differ: `+ new.py`, `- gone.py`, `changed.py`.
    """

    unit: str
    before: Version | None
    after: Version | None
    changes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


class DiffView(msgspec.Struct, frozen=True):
    """What differs between two epochs, or between the one that serves and what is on disk.

    Attributes:
        before: The first epoch.
        after: The second epoch; null for what is on disk.
        units: Units that are not the same, in the order of their kinds and names.
        same: How many units are the same in both.
        routes_added: Routes that only the second has.
        routes_removed: Routes that only the first has.
        settings: What else differs, in words: interpreter, addresses.
        notes: What lies on disk and is not taken, or needs a restart or a roll, in words.
        refused: Why what is on disk cannot be served; empty where it can.
        refusals: Everything that is wrong with it.
    """

    before: int
    after: int | None
    units: tuple[UnitDifference, ...] = ()
    same: int = 0
    routes_added: tuple[Route, ...] = ()
    routes_removed: tuple[Route, ...] = ()
    settings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    refused: str = ""
    refusals: tuple[SlotRefusal, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether both serve the same."""
        return not (self.units or self.routes_added or self.routes_removed or self.settings or self.refused)


def compare_disk(serving: Snapshot, outcome: Outcome) -> DiffView:
    """Compare what serves with what is on disk.

    Args:
        serving: The generation that serves.
        outcome: What became of a wish to be told only what would change.
    """
    match outcome:
        case Planned(candidate=Snapshot() as candidate, summary=summary, files=files):
            view = compare(serving, candidate, lambda _, new: files.get(str(new.key.ref), ()))
            notes = tuple(line for line in summary if line.startswith(NOT_TAKEN))
            return replace(view, after=None, units=tuple(map(_unnumbered, view.units)), notes=notes)
        case Unchanged(notes=notes) | NeedsRoll(changed=notes):
            return DiffView(serving.epoch, None, same=len(serving.units), notes=notes)
        case Refused(reason=reason, refusals=refusals, summary=notes):
            return DiffView(serving.epoch, None, notes=notes, refused=reason, refusals=refusals)
        case Undecided(reason=reason):
            return DiffView(serving.epoch, None, refused=reason)
        case _:
            raise ValueError(f"{outcome!r} is no answer to a wish that changes nothing")


def _unnumbered(difference: UnitDifference) -> UnitDifference:
    """What is only on disk has no epoch."""
    after = difference.after
    return difference if after is None else replace(difference, after=replace(after, since=0))


def compare(before: Snapshot, after: Snapshot, files: Files) -> DiffView:
    """Compare two generations.

    Args:
        before: The first.
        after: The second.
        files: Compares artifacts.
    """
    old = {unit.key.ref: unit for unit in before.units}
    new = {unit.key.ref: unit for unit in after.units}
    differing = {ref for ref in old.keys() | new.keys() if _content(old.get(ref)) != _content(new.get(ref))}
    routes = set(before.routes), set(after.routes)
    return DiffView(
        before.epoch,
        after.epoch,
        tuple(
            _difference(ref, old.get(ref), new.get(ref), differing, files)
            for ref in sorted(differing, key=lambda ref: (ref.kind.value, ref.name))
        ),
        len(new.keys() & old.keys()) - len(differing & new.keys() & old.keys()),
        _sorted(routes[1] - routes[0]),
        _sorted(routes[0] - routes[1]),
        tuple(_settings(before, after)),
    )


def _difference(
    ref: UnitRef, old: UnitSpec | None, new: UnitSpec | None, differing: Container[UnitRef], files: Files
) -> UnitDifference:
    if old is None or new is None:
        return UnitDifference(str(ref), _version(old), _version(new))
    changes = tuple(_changes(old, new, differing))
    return UnitDifference(str(ref), _version(old), _version(new), changes, tuple(files(old, new)))


def _content(unit: UnitSpec | None) -> str | None:
    return None if unit is None else unit.key.digest


def _sorted(routes: Iterable[Route]) -> tuple[Route, ...]:
    return tuple(sorted(routes, key=str))


def _version(unit: UnitSpec | None) -> Version | None:
    if unit is None:
        return None
    return Version(unit.version if isinstance(unit, PluginSpec) else "", unit.key.digest, unit.key.since)


def _changes(old: UnitSpec, new: UnitSpec, differing: Container[UnitRef]) -> Iterator[str]:
    match old, new:
        case PluginSpec(), PluginSpec():
            yield from _configuration(old.config, new.config)
        case ApplicationSpec(), ApplicationSpec():
            yield from _application(old, new)
        case PipelineSpec(), PipelineSpec():
            yield from _pipeline(old, new)
        case ChannelSpec(), ChannelSpec():
            yield from channel_changes(old, new)
    yield from (f"no longer requires {ref}" for ref in old.requires if ref not in new.requires)
    for ref in new.requires:
        if ref not in old.requires:
            yield f"requires {ref}"
        elif ref in differing:
            yield f"requires {ref}, which differs"


def _configuration(before: bytes, after: bytes) -> Iterator[str]:
    """Names only: values may be secrets."""
    old: dict[str, Any] = msgspec.msgpack.decode(before)
    new: dict[str, Any] = msgspec.msgpack.decode(after)
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    if names:
        yield f"configuration: {', '.join(names)}"


def _application(old: ApplicationSpec, new: ApplicationSpec) -> Iterator[str]:
    for name in APPLICATION:
        one, other = getattr(old, name), getattr(new, name)
        if one != other:
            yield f"{name}: {_said(one)} -> {_said(other)}"
    if old.distributions != new.distributions:
        yield "installed packages"


def _said(value: object) -> str:
    return str(getattr(value, "value", value)) or "nothing"


def _pipeline(old: PipelineSpec, new: PipelineSpec) -> Iterator[str]:
    yield from (f"handlers: {change}" for change in handler_changes(old.handlers, new.handlers))
    if old.target != new.target:
        yield f"answers: {old.target or 'nothing'} -> {new.target or 'nothing'}"
    if bool(old.written) != bool(new.written):
        yield "edited, and not as its file says" if new.written else "as its file says, and not edited"


def _settings(before: Snapshot, after: Snapshot) -> Iterator[str]:
    if after.interpreter.is_other(before.interpreter):
        yield f"python: {before.interpreter} -> {after.interpreter}"
    if not after.listens_as(before):
        yield from (f"address: - {address}" for address in before.listen if address not in after.listen)
        yield from (f"address: + {address}" for address in after.listen if address not in before.listen)
