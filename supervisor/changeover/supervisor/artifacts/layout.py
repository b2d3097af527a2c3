"""Which pipelines there are, what passes through them, and what leads to them. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from graphlib import CycleError

import msgspec

from changeover.supervisor.artifacts.content import Content
from changeover.supervisor.artifacts.problems import Problem
from changeover.supervisor.artifacts.reach import Reach
from changeover.supervisor.config.handlers import ref_of
from changeover.supervisor.config.matches import overlap
from changeover.supervisor.config.settings import Settings
from changeover.workers.handlers.catalogue import CATALOGUE
from changeover.workers.plugins.manifest import Handler
from changeover.workers.plugins.order import arranged, disorder, unordered
from changeover.workers.protocol.document import below, nearest
from changeover.workers.protocol.matching import ambiguous
from changeover.workers.protocol.refusal import Fault
from changeover.workers.protocol.snapshot import HandlerRef, PipelineSpec, Route, Snapshot, UnitKind, UnitRef

APP = "app"
"""Name of the application, and of its own pipeline."""

Contents = Mapping[str, Content]
"""Plugin id -> its content."""


class Plan(msgspec.Struct, frozen=True):
    """A pipeline before it is a unit.

    Attributes:
        name: The unit's name.
        handlers: In request order.
        target: What answers; None answers 503.
        routes: What leads to it.
        file: Where it is written, for messages.
        path: Where in that file.
        written: What the files said of it when it was edited (see `editing`); empty for as they say.
    """

    name: str
    handlers: tuple[HandlerRef, ...] = ()
    target: UnitRef | None = None
    routes: tuple[Route, ...] = ()
    file: str = ""
    path: str = ""
    written: str = ""

    @property
    def owner(self) -> str:
        """The plugin whose mount it is; empty when it is none."""
        return self.name.partition(":")[0] if ":" in self.name and "/" not in self.name else ""


class Layout(msgspec.Struct, frozen=True):
    """All pipelines, and what is wrong with them."""

    plans: tuple[Plan, ...] = ()
    problems: tuple[Problem, ...] = ()


def lay_out(settings: Settings, contents: Contents, origin: str = "") -> Layout:
    """Make pipelines of the configured ones, the plugins' mounts and the application's default.

    Args:
        settings: Checked settings.
        contents: Every plugin.
        origin: The configuration's file, for messages.
    """
    problems: list[Problem] = []
    plans = list(_configured(settings, origin))
    named = {plan.target for plan in plans}
    for content in contents.values():
        plans += _mounted(content, settings, named, origin, problems)
    app = UnitRef(UnitKind.APPLICATION, APP)
    if settings.app and app not in named:
        plans.append(Plan(APP, (), app, (Route(APP, mounted=False),), origin, "$.app"))
    return Layout(tuple(plans), tuple(problems))


def mistakes_of(content: Content, settings: Settings, origin: str = "") -> Iterator[Problem]:
    """Say what keeps a plugin from being served whatever is beside it: handlers without an order, mounts that collide.

    Args:
        content: The plugin.
        settings: Checked settings.
        origin: The configuration's file, for messages.
    """
    alone = {content.manifest.id: content}
    layout = lay_out(settings, alone, origin)
    own = [plan for plan in layout.plans if plan.owner]
    yield from (problem for problem in layout.problems if problem.plugin == content.manifest.id)
    yield from contradictions(own, alone, has_app=False)


def _configured(settings: Settings, origin: str) -> Iterator[Plan]:
    for index, pipeline in enumerate(settings.pipelines):
        handlers = tuple(map(ref_of, pipeline.handlers))
        kind = UnitKind.APPLICATION if pipeline.service == APP else UnitKind.SERVICE
        target = UnitRef(kind, pipeline.service) if pipeline.service else None
        route = pipeline.match.route(pipeline.title)
        yield Plan(pipeline.title, handlers, target, (route,), origin, f"$.pipelines[{index}]")


def _mounted(
    content: Content, settings: Settings, named: set[UnitRef | None], origin: str, problems: list[Problem]
) -> Iterator[Plan]:
    """The pipelines of one plugin's mounts: its own handlers around each of its services."""
    manifest = content.manifest
    overridden = _overrides(content, settings, origin, problems)
    for name, service in manifest.services.items():
        target = UnitRef(UnitKind.SERVICE, f"{manifest.id}:{name}")
        mount = overridden.get(name, "" if target in named else service.mount)
        if not mount:
            continue
        declared = {HandlerRef(manifest.id, handler): each for handler, each in manifest.handlers.items()}
        try:
            handlers = arranged(declared)
        except CycleError as error:
            message = f"{' after '.join(str(handler) for handler in error.args[1])}: none can come first"
            problems.append(Problem(message, content.file, "$.handlers", Fault.CONTRACT, manifest.id))
            return
        if loose := [_loose(first, second, declared[first]) for first, second in unordered(declared)]:
            problems += (Problem(each, content.file, "$.handlers", Fault.CONTRACT, manifest.id) for each in loose)
            return
        route = Route(target.name, mount, mounted=True)
        file, path = (origin, "$.plugins") if name in overridden else (content.file, below("$.services", name))
        at = below(path, manifest.id) if name in overridden else path
        yield Plan(target.name, handlers, target, (route,), file, f"{at}.mount")


def _loose(first: HandlerRef, second: HandlerRef, declared: Handler) -> str:
    pair = f"{first} and {second} are both {declared.direction.value} and of phase {declared.phase.value}"
    return (
        f"{pair}, and nothing orders them: let one declare `after` or `before` the other, or list both in [[pipelines]]"
    )


def _overrides(content: Content, settings: Settings, origin: str, problems: list[Problem]) -> dict[str, str]:
    """Service -> the mount that the configuration gives it, empty for none."""
    plugin, services = content.manifest.id, content.manifest.services
    entry = settings.plugins.entries.get(plugin)
    at = f"{below('$.plugins', plugin)}.mount"
    if entry is None or entry.mount is None:
        return {}
    if isinstance(entry.mount, str):
        if len(services) == 1:
            return dict.fromkeys(services, entry.mount)
        message = f"{plugin} has {len(services)} services: write a table of service name -> path"
        problems.append(Problem(message, origin, at, plugin=plugin))
        return {}
    for name in entry.mount.keys() - services.keys():
        message = f"{plugin} has no service {name}{nearest(name, services)}"
        problems.append(Problem(message, origin, below(at, name), plugin=plugin))
    return dict(entry.mount)


def within(reach: Reach, wanted: Layout, current: Snapshot) -> Layout:
    """Take the plans that a request reaches from `wanted`, all others from what serves."""
    taken = [plan for plan in wanted.plans if reach.pipeline(plan.name, plan.owner)]
    kept = [plan for plan in plans_of(current) if not reach.pipeline(plan.name, plan.owner)]
    return Layout((*taken, *kept), wanted.problems)


def plans_of(snapshot: Snapshot) -> Iterator[Plan]:
    """The pipelines of a generation, as they were planned."""
    routes: defaultdict[str, list[Route]] = defaultdict(list)
    for route in snapshot.routes:
        routes[route.pipeline].append(route)
    for unit in snapshot.units:
        if isinstance(unit, PipelineSpec):
            name = unit.key.ref.name
            file, written = f"epoch {snapshot.epoch}", unit.written
            yield Plan(name, unit.handlers, unit.target, tuple(routes[name]), file, name, written)


def contradictions(
    plans: Iterable[Plan], contents: Contents, has_app: bool, broken: Set[str] = frozenset()
) -> Iterator[Problem]:
    """Say everything that keeps plans from becoming units: what they name and is not there, what collides.

    Args:
        plans: All of them.
        contents: Every plugin.
        has_app: Whether there is an application.
        broken: Plugins that are there and cannot be used, which is told already: what they offer is not known.
    """
    plans = tuple(plans)
    declared = declared_of((handler for plan in plans for handler in plan.handlers), contents)
    offered = list(map(str, handlers_of(contents)))
    routed: list[tuple[Route, Plan]] = []
    names: dict[str, Plan] = {}
    for plan in plans:
        for index, handler in enumerate(plan.handlers):
            if handler not in declared and handler.plugin not in broken:
                yield _missing(plan, f"handlers[{index}]", str(handler), offered, contents, "handler")
        for index, reason in disorder(plan.handlers, declared):
            yield Problem(reason, plan.file, f"{plan.path}.handlers[{index}]")
        yield from _target_problems(plan, contents, has_app, broken)
        if names.setdefault(plan.name, plan) is not plan:
            other = names[plan.name]
            yield Problem(f"pipeline {plan.name} is named already at {other.file}: {other.path}", plan.file, plan.path)
        for route in plan.routes:
            yield from _ambiguities(route, plan, routed)
            routed.append((route, plan))


def _ambiguities(route: Route, plan: Plan, routed: Iterable[tuple[Route, Plan]]) -> Iterator[Problem]:
    """Name every route of another pipeline that can take the same requests, when neither is more specific."""
    for other, there in routed:
        if there is not plan and ambiguous(route, other):
            message = f"{overlap(route, other)} {there.name} already ({there.file}: {there.path})"
            yield Problem(f"{message}; {_remedy(plan, there)}", plan.file, plan.path)


def _remedy(*plans: Plan) -> str:
    return "mount one of them elsewhere in [plugins]" if any(plan.owner for plan in plans) else "let one say more"


def _target_problems(plan: Plan, contents: Contents, has_app: bool, broken: Set[str]) -> Iterator[Problem]:
    if plan.target is None:
        return
    services = [f"{plugin}:{name}" for plugin, content in contents.items() for name in content.manifest.services]
    if plan.target.kind is UnitKind.APPLICATION:
        if not has_app:
            yield Problem("there is no application", plan.file, f"{plan.path}.service")
    elif plan.target.name not in services and plan.target.name.partition(":")[0] not in broken:
        yield _missing(plan, "service", plan.target.name, services, contents, "service")


def _missing(plan: Plan, at: str, name: str, known: Iterable[str], contents: Contents, kind: str) -> Problem:
    plugin, _, own = name.partition(":")
    path = f"{plan.path}.{at}"
    if plugin in contents:
        offered = [each.partition(":")[2] for each in known if each.startswith(f"{plugin}:")]
        message = f"{contents[plugin].name} has no {kind} {own}{nearest(own, offered)}"
    elif ":" not in name:
        message = f"there is no ready-made handler {name}{nearest(name, CATALOGUE)}"
    else:
        message = f"there is no plugin {plugin}{nearest(plugin, contents)}"
    return Problem(message, plan.file, path)


def handlers_of(contents: Contents) -> dict[HandlerRef, Handler]:
    """Every handler that the plugins offer."""
    return {
        HandlerRef(plugin, name): handler
        for plugin, content in contents.items()
        for name, handler in content.manifest.handlers.items()
    }


def declared_of(handlers: Iterable[HandlerRef], contents: Contents) -> dict[HandlerRef, Handler]:
    """What is known of some handlers, of plugins and ready-made; those that nobody offers are left out."""
    offered = handlers_of(contents)
    ready_made = {name: each.declared for name, each in CATALOGUE.items()}
    found = ((each, offered.get(each) if each.plugin else ready_made.get(each.handler)) for each in handlers)
    return {handler: declared for handler, declared in found if declared is not None}


def unused(plans: Iterable[Plan], contents: Contents, settings: Settings) -> Iterator[str]:
    """Say what is there and has no effect: handlers and services in no pipeline, and what no channel asks."""
    used = {str(handler) for plan in plans for handler in plan.handlers}
    answering = {plan.target.name for plan in plans if plan.target}
    for handler in handlers_of(contents):
        if str(handler) not in used:
            yield f"unused: handler {handler} is in no pipeline"
    for plugin, content in contents.items():
        for name in content.manifest.services:
            if f"{plugin}:{name}" not in answering:
                yield f"unused: service {plugin}:{name} is mounted nowhere"
    yield from _unselected(contents, settings)


def of_no_plugin(settings: Settings, plugins: Set[str]) -> Iterator[str]:
    """Say which settings are of a plugin that is not there: the one that was meant has none of them.

    Args:
        settings: What is configured.
        plugins: Every plugin that serves, would serve, or lies on disk.
    """
    for plugin in sorted(settings.plugins.entries.keys() - plugins):
        yield f"unused: [plugins.{plugin}] names no plugin{nearest(plugin, plugins)}"


def _unselected(contents: Contents, settings: Settings) -> Iterator[str]:
    asked = {each.use for it in settings.channels for each in it.select}
    selected = {name for it in settings.channels for name in (it.safe, *(each.initializer for each in it.select))}
    for plugin, content in contents.items():
        for name in content.manifest.initializers:
            if f"{plugin}:{name}" not in selected:
                yield f"unused: initializer {plugin}:{name} is selected by no channel"
        for name in content.manifest.selectors:
            if f"{plugin}:{name}" not in asked:
                yield f"unused: selector {plugin}:{name} is asked by no channel"
