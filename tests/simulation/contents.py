"""Contents to serve: units that change from one generation to the next, and some that break workers."""

import enum
from collections.abc import Iterable
from random import Random

from changeover.supervisor.core import holding
from changeover.supervisor.core.entries import Held
from changeover.supervisor.core.holding import addresses_content
from changeover.workers.protocol.snapshot import (
    ApplicationSpec,
    HandlerRef,
    PipelineSpec,
    PluginSpec,
    Route,
    Snapshot,
    UnitKey,
    UnitKind,
    UnitRef,
    UnitSpec,
)


class Flaw(enum.Enum):
    """What is wrong with a content, for the workers that it hits."""

    NONE = ""
    REFUSES = "refuses"
    CRASHES = "crashes"
    HANGS = "hangs"
    DIES = "dies"
    """It loads everywhere, and then every worker that serves it dies."""
    BESIDE = "beside"
    """It kills a worker that builds it while it serves something else, and no other."""
    SLOW = "slow"
    """It takes more than half of the time that a worker has to prepare it, and is sound."""


FORCED = "forced"
"""The label of what somebody forced."""
PLUGINS = ("authz", "geo", "pricing")
ADDRESSES = ("shop:1", "shop:2", "shop:3")


def content(
    epoch: int,
    versions: tuple[int, ...],
    before: Snapshot | None,
    flaw: Flaw = Flaw.NONE,
    app: int = 0,
    rolls: bool = False,
    listen: tuple[str, ...] = ADDRESSES[:1],
) -> Snapshot:
    """A generation of an application, and of three plugins with a pipeline each; what is unchanged keeps its identity.

    Args:
        epoch: Its number.
        versions: One per plugin.
        before: What it follows.
        flaw: What it does to workers; part of its digest.
        app: The application's version: another one than before makes a roll.
        rolls: Whether it takes new processes even so.
        listen: Where it is served: other addresses than before make a roll as well.
    """
    known = {} if before is None else {(unit.key.ref, unit.key.digest): unit.key for unit in before.units}
    plugins, pipelines, routes = [], [], []
    for name, version in zip(PLUGINS, versions, strict=True):
        ref = UnitRef(UnitKind.PLUGIN, name)
        plugin = known.get((ref, f"{name}-{version}"), UnitKey(ref, f"{name}-{version}", epoch))
        line = UnitRef(UnitKind.PIPELINE, name)
        pipeline = known.get((line, f"line-{name}-{version}"), UnitKey(line, f"line-{name}-{version}", epoch))
        plugins.append(PluginSpec(plugin, str(version), artifact=f"{name}-{version}"))
        pipelines.append(PipelineSpec(pipeline, (HandlerRef(name, "check"),), requires=(ref,)))
        routes.append(Route(name, f"/{name}"))
    ref = UnitRef(UnitKind.APPLICATION, "app")
    key = known.get((ref, f"app-{app}"), UnitKey(ref, f"app-{app}", epoch))
    rolls = rolls or before is None or app_of(before) != app or before.listen != listen
    rolled = epoch if rolls or before is None else before.rolled
    units: tuple[UnitSpec, ...] = (*plugins, ApplicationSpec(key, "app:app", "/app"), *pipelines)
    part, name = 0 if before is None else before.part, name_of(versions, app, flaw)
    return Snapshot(epoch, name, units, tuple(routes), flaw.value, rolled, listen=listen, part=part)


def name_of(versions: tuple[int, ...], app: int, flaw: Flaw) -> str:
    """The digest of a content."""
    return "-".join(map(str, (*versions, app))) + flaw.value


def app_of(snapshot: Snapshot) -> int:
    """The application's version."""
    return next(int(unit.key.digest[4:]) for unit in snapshot.units if isinstance(unit, ApplicationSpec))


def versions_of(snapshot: Snapshot) -> tuple[int, ...]:
    """The plugins' versions, in the order of `PLUGINS`."""
    return tuple(int(unit.version) for unit in snapshot.units if isinstance(unit, PluginSpec))


def kept_back(disk: tuple[int, ...], serving: Snapshot | None, held: Iterable[Held]) -> tuple[int, ...]:
    """What is taken of `disk`: a plugin whose version there is held stays as it serves."""
    if serving is None:
        return disk
    shunned = {(each.ref.name, each.version) for each in held}
    return tuple(
        now if (name, str(wanted)) in shunned else wanted
        for name, wanted, now in zip(PLUGINS, disk, versions_of(serving), strict=True)
    )


def listened(wanted: tuple[str, ...], serving: Snapshot | None, held: Iterable[Held]) -> tuple[str, ...]:
    """Where a candidate is served: where what serves is, if a rollback set aside what is wanted."""
    shunned = any(each.ref == holding.ADDRESSES and each.content == addresses_content(wanted) for each in held)
    return serving.listen if shunned and serving is not None else wanted


def changed(versions: tuple[int, ...], random: Random, fresh: int) -> tuple[int, ...]:
    """Versions of which at least one is new."""
    index = random.randrange(len(versions))
    return tuple(fresh if at == index or random.random() < 0.25 else v for at, v in enumerate(versions))
