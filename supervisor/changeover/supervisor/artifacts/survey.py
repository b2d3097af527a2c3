"""What lies on disk of plugins, beside what serves: as a reload would find it, and nothing is taken.

What plugins need of each other and of what is installed is not judged: that depends on all that a reload takes.
"""

import enum
from collections.abc import Iterable
from pathlib import Path

import msgspec

from changeover.supervisor.artifacts.content import Content, from_disk
from changeover.supervisor.artifacts.folder import Listing
from changeover.supervisor.artifacts.granting import ungranted
from changeover.supervisor.artifacts.installed import listed
from changeover.supervisor.artifacts.lost import with_lost
from changeover.supervisor.artifacts.replacing import is_other, unswappable
from changeover.supervisor.artifacts.trust import untrusted
from changeover.supervisor.artifacts.withheld import held_plugins, quarantined_plugins
from changeover.supervisor.config.check import Checked
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.core.entries import Held, Quarantined
from changeover.workers.pinned.announced import Announced
from changeover.workers.protocol.snapshot import PluginSpec, Snapshot


class DiskState(enum.Enum):
    """What lies on disk of a plugin, beside what serves."""

    SAME = "same"
    """What serves."""
    CHANGED = "changed"
    """Other content, or another configuration."""
    NEW = "new"
    """It does not serve."""
    HELD = "held"
    """A rollback or a removal set it aside: change it, or force it."""
    QUARANTINED = "quarantined"
    """It was refused: watching and schedule do not try it again until it changes."""
    BROKEN = "broken"
    """It cannot be read, nobody trusted has signed it, or it asks for what is not granted; `note` says why."""
    GONE = "gone"
    """Nothing."""


class DiskView(msgspec.Struct, frozen=True):
    """What lies on disk of a plugin.

    Attributes:
        state: How it is beside what serves.
        version: From its manifest; empty where that cannot be read.
        digest: SHA-256 of its files, hexadecimal; empty where these cannot be read.
        path: Its folder or file; empty for none.
        note: What is wrong with it, where it is broken, or why only new processes can take it.
    """

    state: DiskState
    version: str = ""
    digest: str = ""
    path: str = ""
    note: str = ""


class Survey(msgspec.Struct, frozen=True):
    """One look at the folder of plugins, and at the configuration.

    Attributes:
        plugins: Plugin id -> what lies there; one that serves and is not named is gone.
        policies: Plugin id -> when changed content of it is taken.
        problem: Why nothing can be said; empty when something can.
    """

    plugins: dict[str, DiskView] = {}
    policies: dict[str, str] = {}
    problem: str = ""


def survey(
    checked: Checked,
    current: Snapshot | None,
    held: Iterable[Held],
    quarantine: tuple[Quarantined, ...],
    store: Path,
    announced: Iterable[Announced],
) -> Survey:
    """Look at what lies on disk. Blocks on it, as `read_folder` does.

    Args:
        checked: The configuration as it is now.
        current: What is served; None when nothing is.
        held: What rollbacks and removals set aside.
        quarantine: What was refused.
        store: Where the content of what serves lies.
        announced: What is announced by the distributions that are installed for what serves.
    """
    settings = checked.settings
    if settings is None:
        return Survey(problem=f"the configuration cannot be used: {checked.errors[0]}")
    units = () if current is None else current.units
    serving = {unit.key.ref.name: unit for unit in units if isinstance(unit, PluginSpec)}
    folder = settings.plugins.dir
    listing = with_lost(listed(folder, announced), serving, store)
    broken = _broken(listing, folder)
    fresh = {plugin: from_disk(found, settings) for plugin, found in listing.plugins.items()}
    held_back = held_plugins(held, serving, fresh, broken)
    untaken = broken.keys() | held_back.keys()
    refused = quarantined_plugins(quarantine, serving, fresh, untaken, settings.plugins.exempt)
    taken = [found for plugin, found in listing.plugins.items() if plugin not in held_back]
    wrong = (*ungranted(taken, settings), *untrusted(taken, settings.plugins.keys))
    barred = {problem.plugin: str(problem) for problem in wrong}
    kept = dict.fromkeys(refused, DiskState.QUARANTINED)
    kept |= dict.fromkeys(barred, DiskState.BROKEN) | dict.fromkeys(held_back, DiskState.HELD)
    files = {found.digest: found.files for found in listing.plugins.values()}
    rolls = unswappable(serving, fresh, files, {*kept, *broken}, store) if current is not None else {}
    notes = {plugin: f"{plugin} needs a roll: {why}" for plugin, why in rolls.items()} | barred
    lying = {
        plugin: DiskView(
            kept.get(plugin) or _compared(fresh[plugin], serving.get(plugin)),
            found.manifest.version,
            found.digest,
            found.path,
            notes.get(plugin, ""),
        )
        for plugin, found in listing.plugins.items()
    }
    problem = _unreadable(listing, folder) or barred.get("", "")
    return Survey(lying | broken, _policies({*serving, *lying, *broken}, settings), problem)


def _broken(listing: Listing, folder: str) -> dict[str, DiskView]:
    """What is wrong with the folder as a whole is said of no plugin."""
    return {
        problem.plugin or Path(path).stem: DiskView(DiskState.BROKEN, path=path, note=str(problem))
        for path, problems in listing.problems.items()
        for problem in problems[:1]
        if path != folder
    }


def _unreadable(listing: Listing, folder: str) -> str:
    return next((str(problem) for problem in listing.problems.get(folder, ())), "")


def _compared(content: Content, spec: PluginSpec | None) -> DiskState:
    if spec is None:
        return DiskState.NEW
    return DiskState.CHANGED if is_other(spec, content) else DiskState.SAME


def _policies(plugins: Iterable[str], settings: Settings) -> dict[str, str]:
    return {plugin: str(settings.policy(plugin)) for plugin in plugins}
