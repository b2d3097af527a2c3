"""From contents and plans to a snapshot: digests, what is carried over, a fixed order. Pure."""

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from changeover.supervisor.artifacts.content import Content
from changeover.supervisor.artifacts.layout import APP, Plan
from changeover.supervisor.artifacts.requirements import build_order
from changeover.supervisor.config.settings import App
from changeover.workers.protocol.assembly import Rule
from changeover.workers.protocol.snapshot import (
    OWN,
    ApplicationSpec,
    ChannelSpec,
    HandlerRef,
    Interface,
    Interpreter,
    PipelineSpec,
    PluginBefore,
    PluginSpec,
    Route,
    ServiceSpec,
    Snapshot,
    UnitKey,
    UnitKind,
    UnitRef,
    UnitSpec,
)


def assemble(
    contents: Mapping[str, Content],
    application: ApplicationSpec | None,
    plans: Iterable[Plan],
    epoch: int,
    channels: Iterable[ChannelSpec] = (),
) -> tuple[UnitSpec, ...]:
    """Make the units of a generation in which nothing is carried over yet.

    Args:
        contents: Plugin id -> content; what they require of each other can be met.
        application: The application, from `application_spec`.
        plans: Pipelines that name only what is there.
        epoch: The generation's epoch.
        channels: What comes before the first message.

    Returns:
        Plugins in the order of their requirements, application, services, pipelines, channels; else by name.
    """
    units: dict[UnitRef, UnitSpec] = {}

    def key(ref: UnitRef, requires: tuple[UnitRef, ...], *content: object) -> UnitKey:
        return UnitKey(ref, unit_digest(ref, content, [units[each].key.digest for each in requires]), epoch)

    for plugin in build_order(contents):
        content = contents[plugin]
        ref = UnitRef(UnitKind.PLUGIN, plugin)
        requires = tuple(UnitRef(UnitKind.PLUGIN, name) for name in sorted(content.manifest.requires))
        further = (content.code, content.granted, content.distribution)
        made = key(ref, requires, content.artifact, content.config, *([further] if any(further) else []))
        units[ref] = PluginSpec(made, content.manifest.version, content.artifact, requires, content.config, *further)
    if application is not None:
        units[application.key.ref] = application
    plans = sorted(plans, key=lambda plan: plan.name)
    for target in sorted({plan.target.name for plan in plans if plan.target and plan.target.kind is UnitKind.SERVICE}):
        ref = UnitRef(UnitKind.SERVICE, target)
        plugin, _, service = target.partition(":")
        requires = (UnitRef(UnitKind.PLUGIN, plugin),)
        units[ref] = ServiceSpec(key(ref, requires, service), plugin, service, requires)
    for plan in plans:
        ref = UnitRef(UnitKind.PIPELINE, plan.name)
        used = {UnitRef(UnitKind.PLUGIN, handler.plugin) for handler in plan.handlers if handler.plugin}
        requires = (*sorted(used, key=str), *((plan.target,) if plan.target else ()))
        made = key(ref, requires, *_piped(plan.handlers, plan.target))
        units[ref] = PipelineSpec(made, plan.handlers, plan.target, requires, plan.written)
    digests = {ref: unit.key.digest for ref, unit in units.items()}
    for channel in sorted(channels, key=lambda each: each.key.ref.name):
        units[channel.key.ref] = linked(channel, digests, epoch)
    return tuple(units.values())


def _piped(handlers: Iterable[HandlerRef], target: UnitRef | None) -> tuple[object, ...]:
    """A pipeline's own content."""
    return [(str(each), each.settings) if each.settings else str(each) for each in handlers], target


def linked(channel: ChannelSpec, digests: Mapping[UnitRef, str], epoch: int) -> ChannelSpec:
    """Make a channel the unit of a candidate: it requires the plugins whose initializers and selectors it names.

    Args:
        channel: What it says; where it is carried over, of another candidate.
        digests: Of the candidate's plugins.
        epoch: The candidate's.
    """
    named = (*channel.initializers, *channel.selectors)
    plugins = {UnitRef(UnitKind.PLUGIN, name.partition(":")[0]) for name in named}
    requires = tuple(sorted(plugins))
    content = (channel.tls, channel.proxies, list(map(_rule, channel.rules)), channel.safe)
    digest = unit_digest(channel.key.ref, content, [digests[each] for each in requires])
    return msgspec.structs.replace(channel, key=UnitKey(channel.key.ref, digest, epoch), requires=requires)


def _rule(rule: Rule) -> dict[str, object]:
    """A rule in a digest: what came later enters it only where it says something."""
    said = msgspec.structs.asdict(rule).items()
    return {field: value for field, value in said if value or field not in ("label", "use")}


def application_spec(app: App, artifact: str, distributions: str, epoch: int) -> ApplicationSpec:
    """The application as a unit.

    Args:
        app: Its settings; `dir` is absolute.
        artifact: Digest of its files.
        distributions: Digest of the record of what is installed with it.
        epoch: The generation's epoch.
    """
    ref = UnitRef(UnitKind.APPLICATION, APP)
    made = ApplicationSpec(
        UnitKey(ref, "", epoch),
        app.target,
        app.dir,
        Interface(app.interface),
        factory=app.factory,
        root_path=app.root_path,
        artifact=artifact,
        distributions=distributions,
        preload=app.preload,
        threads=app.threads,
    )
    return _named(made)


def _named(made: ApplicationSpec) -> ApplicationSpec:
    """An application under the digest of what it says."""
    called = (made.target, made.directory, made.factory, made.interface, made.threads, made.root_path)
    digest = unit_digest(made.key.ref, (made.artifact, made.distributions, *called, made.preload), ())
    return msgspec.structs.replace(made, key=msgspec.structs.replace(made.key, digest=digest))


def reinstalled(units: Iterable[UnitSpec], installed: str) -> tuple[UnitSpec, ...]:
    """The units of a generation, its application with another record of what is installed, and what answers with it.

    Args:
        units: Each after what it requires.
        installed: Digest of the record.
    """
    made: dict[UnitRef, UnitSpec] = {}
    for unit in units:
        if isinstance(unit, ApplicationSpec):
            unit = _named(msgspec.structs.replace(unit, distributions=installed))
        elif isinstance(unit, PipelineSpec):
            requires = [made[each].key.digest for each in unit.requires]
            digest = unit_digest(unit.key.ref, _piped(unit.handlers, unit.target), requires)
            unit = msgspec.structs.replace(unit, key=msgspec.structs.replace(unit.key, digest=digest))
        made[unit.key.ref] = unit
    return tuple(made.values())


def snapshot(
    units: Iterable[UnitSpec],
    routes: Iterable[Route],
    epoch: int,
    current: Snapshot | None,
    label: str = "",
    *,
    rolls: bool = False,
    interpreter: Interpreter = OWN,
    listen: tuple[str, ...] = (),
) -> Snapshot:
    """Make the generation: a unit that `current` has with the same digest is the same instance.

    Args:
        units: Each after what it requires.
        routes: In any order.
        epoch: The generation's epoch.
        current: What is served, None when nothing is.
        label: The operator's words for it.
        rolls: Whether it takes new processes.
        interpreter: What executes them.
        listen: Addresses that it is served at.
    """
    there = {unit.key.ref: unit.key for unit in current.units} if current else {}
    stamped = tuple(_stamped(unit, there.get(unit.key.ref), epoch) for unit in units)
    ordered = tuple(sorted(routes, key=lambda route: (route.host, route.path, route.pipeline)))
    rolled = epoch if rolls or current is None else current.rolled
    digest = generation_digest(stamped, ordered, interpreter, listen)
    part = 0 if current is None else current.part
    before = () if current is None or not rolls else plugins_before(current)
    return Snapshot(epoch, digest, stamped, ordered, label, rolled, interpreter, listen, part, before)


def plugins_before(current: Snapshot) -> tuple[PluginBefore, ...]:
    """What serves of each plugin, for a candidate whose processes never had it."""
    plugins = [unit for unit in current.units if isinstance(unit, PluginSpec)]
    return tuple(PluginBefore(unit.key.ref.name, unit.version, unit.key.digest, unit.artifact) for unit in plugins)


def _stamped(unit: UnitSpec, there: UnitKey | None, epoch: int) -> UnitSpec:
    since = there.since if there and there.digest == unit.key.digest else epoch
    return msgspec.structs.replace(unit, key=msgspec.structs.replace(unit.key, since=since))


def unit_digest(ref: UnitRef, content: Iterable[object], requires: Iterable[str]) -> str:
    """SHA-256 over a unit's name, its own content, and the digests of what it requires."""
    return _digest([ref, list(content), list(requires)])


def generation_digest(
    units: Iterable[UnitSpec], routes: Iterable[Route], interpreter: Interpreter, listen: Iterable[str] = ()
) -> str:
    """SHA-256 over what is served, where, and what executes it, whenever that began; equal digests serve alike."""
    return _digest([[_identity(unit) for unit in units], list(routes), interpreter, sorted(listen)])


def _identity(unit: UnitSpec) -> list[object]:
    """A unit in a generation; that a pipeline is edited is part of it, because that decides about the next one."""
    edited = [unit.written] if isinstance(unit, PipelineSpec) and unit.written else []
    return [unit.key.ref, unit.key.digest, *edited]


def _digest(content: object) -> str:
    return hashlib.sha256(msgspec.msgpack.encode(content, order="sorted")).hexdigest()
