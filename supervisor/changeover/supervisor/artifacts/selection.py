"""Which content of each plugin a candidate takes: the disk's, or what serves already."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from changeover.supervisor.artifacts.content import Content, carried, code_of, from_disk
from changeover.supervisor.artifacts.folder import Found, Listing
from changeover.supervisor.artifacts.granting import ungranted
from changeover.supervisor.artifacts.layout import APP
from changeover.supervisor.artifacts.lost import with_lost
from changeover.supervisor.artifacts.problems import Problem
from changeover.supervisor.artifacts.reach import Reach
from changeover.supervisor.artifacts.replacing import unswappable
from changeover.supervisor.artifacts.trust import untrusted
from changeover.supervisor.artifacts.withheld import held_plugins, quarantined_plugins
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.core.entries import Held, Quarantined
from changeover.workers.plugins.artifact import get
from changeover.workers.protocol.document import nearest
from changeover.workers.protocol.snapshot import PipelineSpec, PluginSpec, Snapshot


class Selection(msgspec.Struct, frozen=True):
    """What a candidate is made of.

    Attributes:
        contents: Plugin id -> content, in the order of the ids.
        files: Digest -> files, of everything that comes from disk.
        problems: What keeps it from being a candidate.
        notes: What lies on disk and is not taken.
        held: What lies on disk and is not taken because a rollback set it aside.
        rolling: What lies on disk and is not taken because the request keeps to the living workers.
        broken: Plugins that `problems` keep from being taken.
    """

    contents: dict[str, Content] = {}
    files: dict[str, dict[str, bytes]] = {}
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    rolling: tuple[str, ...] = ()
    broken: frozenset[str] = frozenset()


def select(
    listing: Listing,
    settings: Settings,
    current: Snapshot | None,
    reach: Reach,
    store: Path,
    held: Iterable[Held] = (),
    quarantine: tuple[Quarantined, ...] = (),
) -> Selection:
    """Take each plugin from disk that the request reaches, unless what lies there is held or quarantined.

    Args:
        listing: What is on disk.
        settings: Checked settings.
        current: What is served; None when nothing is.
        reach: What the request takes from disk.
        store: Where the content of what is served lies.
        held: What rollbacks set aside.
        quarantine: What was refused and is not to be tried again.

    Raises:
        ManifestInvalid: A stored artifact is damaged.
        OSError: A stored artifact cannot be read.
    """
    serving = {unit.key.ref.name: unit for unit in current.units if isinstance(unit, PluginSpec)} if current else {}
    listing = with_lost(listing, serving, store)
    disabled = {plugin for plugin in serving if reach.disabled(plugin)}
    fresh = {
        plugin: from_disk(found, settings, code_of(found, serving.get(plugin), store))
        for plugin, found in listing.plugins.items()
    }
    fixed = _fixed(listing, serving, reach, store)
    withheld = held_plugins(held, serving, fresh, fixed | concerned_by(listing.problems))
    skipped = quarantined_plugins(quarantine, serving, fresh, fixed | withheld.keys(), settings.plugins.exempt)
    kept = fixed | withheld.keys() | skipped.keys()
    files = {found.digest: found.files for found in listing.plugins.values()}
    untaken = kept | concerned_by(listing.problems)
    rolling = unswappable(serving, fresh, files, untaken, store) if reach.swaps else {}
    kept |= rolling.keys()
    contents = {plugin: carried(serving[plugin], store) for plugin in serving if plugin in kept}
    contents |= {plugin: content for plugin, content in fresh.items() if plugin not in kept}
    reached = _reached(listing, reach, settings)
    taken = [found for plugin, found in listing.plugins.items() if plugin not in kept]
    return Selection(
        contents=dict(sorted(contents.items())),
        files=files,
        problems=(
            *(problem for problems in reached.values() for problem in problems),
            *_unknown(listing, reach, current),
            *_emptied(listing, serving, reach, settings),
            *untrusted(taken, settings.plugins.keys),
            *ungranted(taken, settings),
        ),
        notes=(
            *_not_taken(listing, serving, settings, disabled),
            *(f"not taken: {why}" for why in skipped.values()),
            *_gone(listing, serving, reach),
        ),
        held=tuple(f"not taken: {withheld[plugin]}" for plugin in sorted(withheld)),
        rolling=tuple(f"{plugin} (needs a roll: {why})" for plugin, why in rolling.items()),
        broken=frozenset(concerned_by(reached)),
    )


def _fixed(listing: Listing, serving: dict[str, PluginSpec], reach: Reach, store: Path) -> set[str]:
    """The plugins that are not taken from disk."""
    fixed = {plugin for plugin in serving.keys() | listing.plugins.keys() if not reach.plugin(plugin)}
    for plugin, found in listing.plugins.items() if reach.policy else ():
        spec = serving.get(plugin)
        if spec is not None and spec.artifact != found.digest:
            taken = reach.by_files(found.manifest, get(store, spec.artifact), found.files)
            fixed = fixed - {plugin} if taken else fixed | {plugin}
    unasked = {plugin for plugin, spec in serving.items() if spec.distribution and listing.unasked}
    return fixed | unasked | _unannounced(listing, serving, reach)


def _reached(listing: Listing, reach: Reach, settings: Settings) -> dict[str, tuple[Problem, ...]]:
    """What is wrong with what is to be taken: a broken neighbour does not hinder the others."""
    return {
        path: problems
        for path, problems in listing.problems.items()
        if path == settings.plugins.dir or any(map(reach.plugin, concerned_by({path: problems})))
    }


def _unknown(listing: Listing, reach: Reach, current: Snapshot | None) -> Iterator[Problem]:
    known = {*listing.plugins, *concerned_by(listing.problems)}
    if current is not None:
        known |= {unit.key.ref.name for unit in current.units if isinstance(unit, PluginSpec | PipelineSpec)}
        known |= {APP} if current.application is not None else set()
    there = f"there are: {', '.join(sorted(known)) or 'none'}"
    for name in sorted(reach.names):
        if name not in known:
            yield Problem(f"there is no plugin or pipeline {name}; {there}{nearest(name, known)}", path="--only")


def _emptied(listing: Listing, serving: dict[str, PluginSpec], reach: Reach, settings: Settings) -> Iterator[Problem]:
    """A folder whose plugins are all gone is rather being replaced: who means it can ask for it."""
    lying = any(not found.distribution for found in listing.plugins.values())
    serves = any(not spec.distribution for spec in serving.values())
    if reach.policy and serves and settings.plugins.dir and not lying and not listing.problems:
        reason = "no plugin is left in it, which is taken only when somebody asks: `changeover reload`"
        yield Problem(reason, settings.plugins.dir)


def _unannounced(listing: Listing, serving: dict[str, PluginSpec], reach: Reach) -> set[str]:
    """Plugins whose distribution is gone, and rather being replaced, as long as nobody asks."""
    known = listing.plugins.keys() | concerned_by(listing.problems)
    installed = {plugin for plugin, spec in serving.items() if spec.distribution}
    return installed - known if reach.policy and not listing.unasked else set()


def _gone(listing: Listing, serving: dict[str, PluginSpec], reach: Reach) -> Iterator[str]:
    for plugin in sorted(_unannounced(listing, serving, reach)):
        if reach.plugin(plugin):
            gone = f"{serving[plugin].distribution} is not installed now"
            yield f"not taken: {plugin} (removed, {gone}, which is taken only when somebody asks: `changeover reload`)"


def _not_taken(
    listing: Listing, serving: dict[str, PluginSpec], settings: Settings, disabled: set[str]
) -> Iterator[str]:
    broken = concerned_by(listing.problems)
    for plugin in sorted(disabled):
        found: Found | None = listing.plugins.get(plugin)
        spec = serving[plugin]
        if found is None:
            yield f"not taken: {plugin} (disabled, {'broken' if plugin in broken else 'removed'} on disk)"
        elif (found.digest, found.distribution) != (spec.artifact, spec.distribution):
            yield f"not taken: {plugin} (disabled, changed on disk)"
        elif from_disk(found, settings).config != spec.config:
            yield f"not taken: {plugin} (disabled, other configuration)"


def concerned_by(problems: Mapping[str, tuple[Problem, ...]]) -> set[str]:
    """The plugins that files and folders with problems are about; one that says no id is known by its name."""
    return {problem.plugin or Path(path).stem for path, told in problems.items() for problem in told}
