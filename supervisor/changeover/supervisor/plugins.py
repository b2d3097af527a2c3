"""What operators see of plugins: what serves, what lies on disk, and what every worker has of it. Pure."""

from collections.abc import Mapping, Sequence

import msgspec

from changeover.supervisor.artifacts.survey import DiskState, DiskView, Survey
from changeover.supervisor.control import PluginView, SlotState
from changeover.workers.protocol.plugin_messages import PluginEntry
from changeover.workers.protocol.snapshot import PluginSpec, Snapshot


class PluginCopy(msgspec.Struct, frozen=True):
    """An instance of a plugin in one worker.

    Attributes:
        slot: The worker's slot.
        pid: Of the worker.
        since: The epoch that introduced it: another than the plugin's is of an older version, still in use.
        state: Where it stands in its lifecycle (`Active`, `Draining`).
        loaded_at: When it was loaded, wall clock.
        leads: Whether its exclusive work runs there.
        worker: What the worker does: `handing over` and `stopping` are those that leave.
    """

    slot: int
    pid: int
    since: int
    state: str
    loaded_at: float
    leads: bool = False
    worker: SlotState = SlotState.SERVING


class ListedPlugin(msgspec.Struct, frozen=True):
    """A plugin that serves, lies on disk, or is still in use in some worker.

    Attributes:
        id: Its name.
        version: What serves; empty for none.
        digest: SHA-256 of the files that serve, hexadecimal; empty for none.
        since: The epoch that introduced what serves; 0 for none.
        serving: How it fares; null when it does not serve.
        disk: What lies on disk; null when nobody could look.
        policy: When changed content is taken (`on-change`, `every 60s`); empty when nobody could look.
        next_check: When it is looked at next without being asked for, wall clock; null where nothing is due: somebody
            has to ask, or the kernel tells of changes.
        copies: Every instance, by slot; the older ones of a worker come first.
    """

    id: str
    version: str = ""
    digest: str = ""
    since: int = 0
    serving: PluginView | None = None
    disk: DiskView | None = None
    policy: str = ""
    next_check: float | None = None
    copies: tuple[PluginCopy, ...] = ()


class PluginsView(msgspec.Struct, frozen=True):
    """Every plugin, with the committed epoch out of the same read.

    Attributes:
        epoch: The committed epoch.
        plugins: In the order of their ids.
        silent: Slots whose worker did not answer in time.
        unread: Why nobody could look at the disk; empty when somebody could.
    """

    epoch: int
    plugins: tuple[ListedPlugin, ...] = ()
    silent: tuple[int, ...] = ()
    unread: str = ""


class Told(msgspec.Struct, frozen=True):
    """What one worker has."""

    slot: int
    pid: int
    state: SlotState
    plugins: tuple[PluginEntry, ...]


def listed(
    serving: Snapshot | None,
    views: Sequence[PluginView],
    survey: Survey,
    told: Sequence[Told],
    due: Mapping[str, float],
) -> tuple[ListedPlugin, ...]:
    """List every plugin that anybody knows.

    Args:
        serving: What is committed; None for nothing.
        views: How the plugins of it fare.
        survey: What lies on disk.
        told: What each worker has.
        due: Policy -> when the next look by it is due, wall clock.
    """
    units = () if serving is None else serving.units
    specs = {unit.key.ref.name: unit for unit in units if isinstance(unit, PluginSpec)}
    fares = {view.id: view for view in views}
    copies = _copies(told)
    return tuple(
        _listed(plugin, specs.get(plugin), fares.get(plugin), survey, copies.get(plugin, ()), due)
        for plugin in sorted(specs.keys() | survey.plugins.keys() | copies.keys())
    )


def _listed(
    plugin: str,
    spec: PluginSpec | None,
    fares: PluginView | None,
    survey: Survey,
    copies: Sequence[PluginCopy],
    due: Mapping[str, float],
) -> ListedPlugin:
    policy = survey.policies.get(plugin, "")
    disk = None if survey.problem else survey.plugins.get(plugin, DiskView(DiskState.GONE))
    seen = ListedPlugin(plugin, disk=disk, policy=policy, next_check=due.get(policy), copies=tuple(copies))
    if spec is None:
        return seen
    return msgspec.structs.replace(
        seen, version=spec.version, digest=spec.artifact, since=spec.key.since, serving=fares
    )


def _copies(told: Sequence[Told]) -> dict[str, list[PluginCopy]]:
    found: dict[str, list[PluginCopy]] = {}
    for worker in sorted(told, key=lambda each: each.slot):
        for entry in sorted(worker.plugins, key=lambda each: each.key.since):
            stands = (entry.key.since, entry.state, entry.loaded_at, entry.leads)
            copy = PluginCopy(worker.slot, worker.pid, *stands, worker.state)
            found.setdefault(entry.key.ref.name, []).append(copy)
    return found
