"""What was refused and is not tried again by watching and schedule, until it changes. Pure.

It is derived from decisions alone, so the journal holds it without an entry of its own. Only content
is quarantined: a candidate that nobody refused (a stop, the journal), or that was refused for reasons
that pass, may be tried again as it is. So may one that was refused for what it requires, once that is
not rehearsed any more: else it is tried when it, or what it requires, changes.
"""

from collections.abc import Collection, Iterable, Mapping

from changeover.supervisor.core.entries import Quarantined, SlotRefusal
from changeover.supervisor.core.holding import contents, differing
from changeover.workers.protocol.snapshot import PluginSpec, Snapshot, UnitKind, UnitRef

MOST = 50
"""How many refused candidates are remembered: as many as the journal keeps."""

Quarantine = tuple[Quarantined, ...]


def passing(refusals: Iterable[SlotRefusal]) -> bool:
    """Whether the same content may be taken later, without anybody changing it."""
    return all(each.refusal.fault.transient for each in refusals)


def after_abort(known: Quarantine, candidate: Snapshot | None, refusals: Iterable[SlotRefusal]) -> Quarantine:
    """What is quarantined once `candidate` was aborted."""
    lasting = [each for each in refusals if not each.refusal.fault.transient]
    if candidate is None or not lasting:
        return known
    blamed = _blamed(candidate, {each.refusal.unit for each in lasting})
    requires = _required(candidate, [each.refusal.requires for each in lasting])
    own = plugins(candidate)
    together = {name: own[name] for name in sorted(_needed(candidate, blamed))}
    fresh = Quarantined(candidate.epoch, candidate.digest, blamed, together, requires)
    return (*(each for each in known if each.digest != fresh.digest), fresh)[-MOST:]


def after_commit(known: Quarantine, committed: Snapshot, before: Snapshot | None = None) -> Quarantine:
    """What is quarantined once `committed` serves: a plugin that got new content since is judged anew.

    Of several commits the latest says it all, so that none of them has to be remembered. One of what served `before`,
    as when parts are reverted, judges nothing anew.
    """
    if before is not None and before.digest == committed.digest:
        return known
    since = {unit.key.ref.name: unit.key.since for unit in _plugins(committed)}
    return tuple(each for each in known if each.blamed and all(since.get(name, 0) < each.epoch for name in each.blamed))


def skipped(
    quarantine: Quarantine, serving: Mapping[str, str], wanted: Mapping[str, str], exempt: Collection[str] = ()
) -> dict[str, Quarantined]:
    """Find the plugins whose content a trigger leaves as it serves.

    Args:
        quarantine: What was refused.
        serving: Own content of every plugin that serves.
        wanted: Own content of every plugin that would serve.
        exempt: Plugins that are not rehearsed.

    Returns:
        Plugin -> what it was refused as.
    """
    found: dict[str, Quarantined] = {}
    left = dict(wanted)
    for each in reversed([each for each in quarantine if not each.is_moot(exempt)]):
        if each.together and all(left.get(name) == content for name, content in each.together.items()):
            changed = [name for name in each.together if serving.get(name) != wanted.get(name)]
            found |= dict.fromkeys(changed, each)
            left |= {name: serving.get(name, "") for name in changed}
    return found


def leaves_rest(
    quarantine: Quarantine, committed: Snapshot | None, candidate: Snapshot, exempt: Collection[str] = ()
) -> bool:
    """Whether something else of a refused `candidate` changed, which needs nothing of what is left out of it now."""
    if committed is None or not (left := skipped(quarantine, plugins(committed), plugins(candidate), exempt)):
        return False
    without = {UnitRef(UnitKind.PLUGIN, name) for name in left}
    for unit in (*committed.units, *candidate.units):
        if not without.isdisjoint(unit.requires):
            without.add(unit.key.ref)
    changed = differing(_digests(committed), _digests(candidate)) - without
    elsewhere = candidate.interpreter != committed.interpreter or not candidate.listens_as(committed)
    return bool(changed) or elsewhere


def refused_as(quarantine: Quarantine, candidate: Snapshot, exempt: Collection[str] = ()) -> Quarantined | None:
    """What the whole of `candidate` was refused as, with these plugins `exempt`; None when it was not."""
    known = (each for each in quarantine if each.digest == candidate.digest)
    return next((each for each in known if not each.is_moot(exempt)), None)


def plugins(snapshot: Snapshot) -> dict[str, str]:
    """The own content of every plugin, by id."""
    return {ref.name: content for ref, content in contents(snapshot).items() if ref.kind is UnitKind.PLUGIN}


def _blamed(candidate: Snapshot, units: set[str]) -> dict[str, str]:
    new = {unit.key.ref: unit.version for unit in _plugins(candidate) if unit.key.since == candidate.epoch}
    named = {ref for unit in candidate.units if str(unit.key.ref) in units for ref in (unit.key.ref, *unit.requires)}
    if not named and candidate.application is not None and candidate.application.key.since == candidate.epoch:
        return {}  # as likely the application's fault as theirs
    return {ref.name: version for ref, version in new.items() if not named or ref in named}


def _required(candidate: Snapshot, units: Collection[str]) -> dict[str, str]:
    """The plugins of these units; none where one of them is empty, as then something was refused for itself."""
    if not all(units):
        return {}
    names = {unit.key.ref.name.partition(":")[0] for unit in candidate.units if str(unit.key.ref) in units}
    return {unit.key.ref.name: unit.version for unit in _plugins(candidate) if unit.key.ref.name in names}


def _needed(candidate: Snapshot, names: Iterable[str]) -> set[str]:
    """The plugins, and all that they require."""
    requires = {unit.key.ref.name: [ref.name for ref in unit.requires] for unit in _plugins(candidate)}
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += requires.get(name, [])
    return found


def _digests(snapshot: Snapshot) -> dict[UnitRef, str]:
    return {unit.key.ref: unit.key.digest for unit in snapshot.units}


def _plugins(snapshot: Snapshot) -> list[PluginSpec]:
    return [unit for unit in snapshot.units if isinstance(unit, PluginSpec)]
