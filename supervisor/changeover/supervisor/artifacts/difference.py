"""What a candidate changes, in words for people. Pure."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from changeover.supervisor.artifacts.addresses import difference
from changeover.workers.protocol.snapshot import (
    EMPTY,
    ApplicationSpec,
    ChannelSpec,
    HandlerRef,
    Interpreter,
    PipelineSpec,
    PluginSpec,
    Snapshot,
    UnitSpec,
)

NOTHING: Mapping[str, str] = MappingProxyType({})
CountFiles = Callable[[str, str], int]
"""How many files differ between two artifacts, by their digests."""
ReadFiles = Callable[[str], Mapping[str, bytes]]
"""The files of an artifact, by its digest."""


def summary(
    current: Snapshot | None, candidate: Snapshot, count_files: CountFiles, rolling: Mapping[str, str] = NOTHING
) -> tuple[str, ...]:
    """Say what changes (`pricing 1.4.0 -> 1.5.0 (3 files)`, `+1 route`, `app unchanged`).

    Args:
        current: What is served; None when nothing is.
        candidate: What would be.
        count_files: Compares artifacts.
        rolling: Plugin id -> why it makes the candidate a roll.
    """
    before = current or EMPTY
    lines = [
        *_interpreter(before.interpreter, candidate.interpreter),
        *_plugins(before, candidate, count_files, rolling),
        *_pipelines(before, candidate),
        *_edited(before, candidate),
        *_routes(before, candidate),
        *_addresses(before, candidate),
        *_channels(before, candidate),
    ]
    return (*lines, *_application(before.application, candidate.application, count_files))


def _interpreter(old: Interpreter, new: Interpreter) -> Iterator[str]:
    if new.is_other(old):
        yield f"python {old} -> {new}"
    elif old.python and new.configured != old.configured:
        yield f"python {new}, the configuration's now" if new.python == new.configured else f"python {new} stays"


def file_changes(old: UnitSpec, new: UnitSpec, read: ReadFiles) -> Iterator[str]:
    """Name the files of a plugin or application that differ; those of a channel are keys, and nobody's to see."""
    before, after = _artifact(old), _artifact(new)
    if not (before and after) or before == after:
        return
    one, other = read(before), read(after)
    for name in sorted(one.keys() | other.keys()):
        if name not in one:
            yield f"+ {name}"
        elif name not in other:
            yield f"- {name}"
        elif one[name] != other[name]:
            yield name


def _artifact(unit: UnitSpec) -> str:
    return unit.artifact if isinstance(unit, PluginSpec | ApplicationSpec) else ""


def changed_files(current: Snapshot | None, candidate: Snapshot, read: ReadFiles) -> dict[str, tuple[str, ...]]:
    """Name the files that differ, of each unit whose files do."""
    old = {unit.key.ref: unit for unit in (current or EMPTY).units}
    kept = (unit for unit in candidate.units if unit.key.ref in old)
    named = ((unit, tuple(file_changes(old[unit.key.ref], unit, read))) for unit in kept)
    return {str(unit.key.ref): files for unit, files in named if files}


def _plugins(before: Snapshot, after: Snapshot, count_files: CountFiles, rolling: Mapping[str, str]) -> Iterator[str]:
    old = {unit.key.ref.name: unit for unit in before.units if isinstance(unit, PluginSpec)}
    new = {unit.key.ref.name: unit for unit in after.units if isinstance(unit, PluginSpec)}
    for name in sorted(old.keys() | new.keys()):
        why = f"rolls: {rolling[name]}" if name in rolling else ""
        if name not in old:
            yield f"+ {name} {new[name].version}" + (f" ({why})" if why else "")
        elif name not in new:
            yield f"- {name} {old[name].version}" + (f" ({why})" if why else "")
        elif old[name].key.digest != new[name].key.digest:
            yield _plugin(old[name], new[name], count_files, why)


def _plugin(old: PluginSpec, new: PluginSpec, count_files: CountFiles, rolls: str) -> str:
    reasons = []
    if old.artifact != new.artifact:
        reasons.append(_counted(count_files(old.artifact, new.artifact), "file"))
    if old.config != new.config:
        reasons.append("configuration")
    if not reasons:
        reasons.append(f"requires {', '.join(ref.name for ref in new.requires)}")
    version = new.version if old.version == new.version else f"{old.version} -> {new.version}"
    return f"{new.key.ref.name} {version} ({'; '.join(filter(None, (', '.join(reasons), rolls)))})"


def _pipelines(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """Configured pipelines whose own words changed; what follows from plugins is said there."""
    old, new = _of_kind(before), _of_kind(after)
    for name in sorted(old.keys() & new.keys()):
        one, other = old[name], new[name]
        moved = list(handler_changes(one.handlers, other.handlers))
        if one.target != other.target:
            moved.append(f"-> {other.target or 'nothing'}")
        if moved:
            yield f"pipeline {name}: {', '.join(moved)}"


def handler_changes(before: tuple[HandlerRef, ...], after: tuple[HandlerRef, ...]) -> Iterator[str]:
    """Say how the handlers of a pipeline change."""
    old, new = Counter(map(str, before)), Counter(map(str, after))
    yield from (f"-{name}" for name in (old - new).elements())
    yield from (f"+{name}" for name in (new - old).elements())
    if old != new or before == after:
        return
    told = [each for each in after if each not in before]
    yield from (f"{each} is told otherwise" for each in told)
    if not told:
        yield "handlers in another order"


def _edited(before: Snapshot, after: Snapshot) -> Iterator[str]:
    old = _of_kind(before)
    for name, new in _of_kind(after).items():
        if new.written and not (name in old and old[name].written):
            yield f"pipeline {name} is edited, and not as its file says"


def _of_kind(snapshot: Snapshot) -> dict[str, PipelineSpec]:
    return {unit.key.ref.name: unit for unit in snapshot.units if isinstance(unit, PipelineSpec)}


def _routes(before: Snapshot, after: Snapshot) -> Iterator[str]:
    old, new = set(before.routes), set(after.routes)
    if new - old:
        yield f"+{_counted(len(new - old), 'route')}"
    if old - new:
        yield f"-{_counted(len(old - new), 'route')}"


def _addresses(before: Snapshot, after: Snapshot) -> Iterator[str]:
    if not after.listens_as(before):
        yield f"addresses -> roll: {difference(before.listen, after.listen)}"


def _channels(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """Addresses at which something else comes before the first message than did."""
    old = {unit.key.ref.name: unit for unit in before.channels}
    new = {unit.key.ref.name: unit for unit in after.channels}
    for name in sorted(old.keys() | new.keys()):
        one, other = old.get(name), new.get(name)
        if name in after.listen and name in (before.listen or after.listen):
            changes = ", ".join(channel_changes(one, other))  # nothing where only a plugin that it names has changed
            yield from (f"channel {name}: {changes}",) if changes else ()


def channel_changes(old: ChannelSpec | None, new: ChannelSpec | None) -> Iterator[str]:
    """Say what else comes before the first message at an address."""
    before, after = (old.tls if old else None), (new.tls if new else None)
    if before is None and after is not None:
        yield "TLS"
    elif after is None and before is not None:
        yield "cleartext"
    elif before is not None and after is not None and before != after:
        yield "other certificates" if before.artifact != after.artifact else "other TLS settings"
    if (old.proxies if old else ()) != (new.proxies if new else ()):
        yield "PROXY header" if new and new.proxies else "no PROXY header"
    if (old and (old.rules, old.safe)) != (new and (new.rules, new.safe)) and (old is None) == (new is None):
        yield "selection"


def _application(old: ApplicationSpec | None, new: ApplicationSpec | None, count_files: CountFiles) -> Iterator[str]:
    if new is None:
        if old is not None:
            yield "- app"
    elif old is None:
        yield f"+ app {new.target}"
    elif old.key.digest == new.key.digest:
        yield "app unchanged"
    else:
        yield f"app {new.target}{_reasons(old, new, count_files)}"


def _reasons(old: ApplicationSpec, new: ApplicationSpec, count_files: CountFiles) -> str:
    reasons = []
    if old.artifact and old.artifact != new.artifact:
        reasons.append(_counted(count_files(old.artifact, new.artifact), "file"))
    if old.distributions and old.distributions != new.distributions:
        reasons.append("installed packages")
    return f" ({', '.join(reasons)})" if reasons else ""


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
