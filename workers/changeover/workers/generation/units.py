"""The units of a worker: how each kind is prepared, and how it ends.

A unit is made first and prepared then, so that whoever builds a generation holds everything that
was begun and can end it, in reverse.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path

from changeover.workers.channel.server_channel import ServerChannel
from changeover.workers.errors import ChangeoverError
from changeover.workers.generation.ready_made import ReadyMadeHandlers
from changeover.workers.message.assembly import Served, initializer_of
from changeover.workers.message.pipeline import MessagePipeline, configured
from changeover.workers.plugins.api import PluginVersion
from changeover.workers.plugins.hooks import GRACE, Hooks, stop_work
from changeover.workers.plugins.lifecycle import Lifecycle, State, Step
from changeover.workers.plugins.link import Offered
from changeover.workers.plugins.loaded import LoadedPlugin
from changeover.workers.plugins.modules import Remains
from changeover.workers.plugins.refused import ContractBroken, Origin, Refused, Site, refusal_of
from changeover.workers.protocol.refusal import Refusal, Stage
from changeover.workers.protocol.snapshot import (
    ApplicationSpec,
    ChannelSpec,
    HandlerRef,
    PipelineSpec,
    PluginSpec,
    ServiceSpec,
    UnitKey,
    UnitKind,
    UnitRef,
    UnitSpec,
)
from changeover.workers.serving.application import instance_of, load
from changeover.workers.serving.asgi import Application
from changeover.workers.serving.attribution import UnitWork
from changeover.workers.serving.counters import Counters
from changeover.workers.serving.handlers import Handler
from changeover.workers.serving.observation import PipelineEvent, PipelineEventKind
from changeover.workers.serving.pipeline import Answering, Pipeline
from changeover.workers.serving.wsgi import WsgiApplication


class Missing(ChangeoverError):
    """A snapshot names a unit that it does not contain: a bug in whoever made it.

    Attributes:
        ref: The unit that is missed.
    """

    def __init__(self, ref: UnitRef) -> None:
        self.ref = ref
        super().__init__(f"bug: the snapshot requires {ref} and does not contain it")


class Unit(ABC):
    """One unit that lives in this worker.

    Args:
        key: Its identity.

    Attributes:
        key: Its identity.
        lifecycle: Where it stands.
    """

    def __init__(self, key: UnitKey) -> None:
        self.key = key
        self.lifecycle = Lifecycle(str(key.ref))

    @property
    @abstractmethod
    def value(self) -> object:
        """The live instance, the same in every generation that contains the unit."""

    @abstractmethod
    async def prepare(self, others: "Others") -> None:
        """Make it ready to serve.

        Args:
            others: The units that come before it.

        Raises:
            Refused: It cannot serve; `end` undoes what was begun.
        """

    @abstractmethod
    async def end(self) -> Refusal | None:
        """Undo `prepare`, once; what went wrong is told, and everything is undone all the same."""

    async def activate(self) -> Refusal | None:
        """Do what comes after the commit; what went wrong is told."""
        return None

    async def deactivate(self) -> Refusal | None:
        """Do what comes after the commit that replaced it; what went wrong is told."""
        return None

    def remains(self) -> tuple[tuple[str, ...], Remains | None]:
        """After `end`: tasks and threads that outlived it by name, and what tells whether its modules did."""
        return (), None

    def linked(self) -> None:
        """Note that it is prepared."""
        self.lifecycle.advance(Step.LINK)
        self.lifecycle.advance(Step.INITIALISE)


class Others:
    """The units of a candidate that are ready, by name, and what served before.

    Args:
        epoch: The candidate's.
        serving: What serves now, by plugin id.
    """

    def __init__(self, epoch: int, serving: Mapping[str, PluginVersion]) -> None:
        self.epoch = epoch
        self.serving = serving
        self._units: dict[UnitRef, Unit] = {}

    def add(self, unit: Unit) -> None:
        """A unit is ready."""
        self._units[unit.key.ref] = unit

    def plugin(self, name: str) -> LoadedPlugin:
        """A plugin by its id.

        Raises:
            Missing: There is none.
        """
        unit = self._units.get(UnitRef(UnitKind.PLUGIN, name))
        if not isinstance(unit, PluginUnit):
            raise Missing(UnitRef(UnitKind.PLUGIN, name))
        return unit.value

    def answering(self, ref: UnitRef | None) -> Answering:
        """What stands at the end of a pipeline.

        Raises:
            Missing: There is none.
        """
        if ref is None:
            return None
        unit = self._units.get(ref)
        if not isinstance(unit, ServiceUnit | ApplicationUnit):
            raise Missing(ref)
        return unit.value


class PluginUnit(Unit):
    """A plugin instance."""

    def __init__(self, spec: PluginSpec, store: Path, hooks: Hooks) -> None:
        super().__init__(spec.key)
        self._plugin = LoadedPlugin(spec, store, hooks)
        self.lifecycle = self._plugin.lifecycle

    @property
    def value(self) -> LoadedPlugin:
        return self._plugin

    async def prepare(self, others: Others) -> None:
        await self._plugin.prepare(others.epoch, others.serving.get(self.key.ref.name))

    async def end(self) -> Refusal | None:
        return await self._plugin.end()

    async def activate(self) -> Refusal | None:
        return await self._plugin.activate()

    async def deactivate(self) -> Refusal | None:
        return await self._plugin.deactivate()

    def remains(self) -> tuple[tuple[str, ...], Remains | None]:
        return self._plugin.left, self._plugin.remains


class _Answering(Unit):
    """A unit that may be an application with a lifespan, or with threads."""

    def __init__(self, key: UnitKey, hooks: Hooks) -> None:
        super().__init__(key)
        self._hooks = hooks
        self._made: Answering = None
        self._work = UnitWork(str(key.ref))
        self._left: tuple[str, ...] = ()

    @property
    def value(self) -> Offered:
        if self._made is None:
            raise AssertionError(f"bug: {self.key} is not prepared")
        return self._made

    async def _start(self, origin: Origin | None) -> None:
        """Run the lifespan's startup, if there is one."""
        if isinstance(self._made, Application):
            site = Site(Stage.INITIALISE, str(self.key.ref), "lifespan startup", origin)
            await self._lifespan(self._made.start, site)
        self.linked()

    async def end(self) -> Refusal | None:
        prepared = self.lifecycle.state in (State.INITIALIZED, State.DRAINING)
        self.lifecycle.end()
        made, self._made = self._made, None
        told: Refusal | None = None
        if prepared and isinstance(made, Application):
            try:
                await self._lifespan(made.stop, Site(Stage.COMMIT, str(self.key.ref), "lifespan shutdown"))
            except Refused as refused:
                told = refused.refusal
        self._left = await stop_work(self._work)
        if isinstance(made, WsgiApplication):
            await made.pool.close(GRACE)
            self._left += made.pool.alive()
        return told

    async def _lifespan(self, half: Callable[[float], object], site: Site) -> None:
        deadline = self._hooks.deadline
        await self._hooks.on_loop(half, deadline, site=site, work=self._work, deadline=deadline + 5 * GRACE)

    def remains(self) -> tuple[tuple[str, ...], Remains | None]:
        return self._left, None


class ApplicationUnit(_Answering):
    """An application instance, imported among the process's own modules."""

    def __init__(self, spec: ApplicationSpec, hooks: Hooks) -> None:
        super().__init__(spec.key, hooks)
        self._spec = spec

    async def prepare(self, others: Others) -> None:
        spec, directory = self._spec, Path(self._spec.directory)
        site = Site(Stage.LOAD, str(self.key.ref), origin=Origin(directory))
        found = await self._hooks.beside(
            lambda: load(spec.target, directory=directory, factory=spec.factory, interface=spec.interface),
            site,
            self._work,
        )
        self._made = instance_of(found, self.key.ref.name, spec.root_path, spec.threads)
        await self._start(Origin(directory))


class ServiceUnit(_Answering):
    """A service of a plugin, made with the plugin's instance."""

    def __init__(self, spec: ServiceSpec, hooks: Hooks) -> None:
        super().__init__(spec.key, hooks)
        self._spec = spec

    async def prepare(self, others: Others) -> None:
        plugin = others.plugin(self._spec.plugin)
        self._made = await plugin.service(self._spec.service)
        await self._start(plugin.site(Stage.INITIALISE).origin)


class PipelineUnit(Unit):
    """Handlers in order, and what answers behind them."""

    def __init__(self, spec: PipelineSpec, counters: Counters, ready_made: ReadyMadeHandlers) -> None:
        super().__init__(spec.key)
        self._spec = spec
        self._counters = counters
        self._ready_made = ready_made
        self._pipeline: Pipeline | None = None

    @property
    def value(self) -> Pipeline:
        if self._pipeline is None:
            raise AssertionError(f"bug: {self.key} is not prepared")
        return self._pipeline

    async def prepare(self, others: Others) -> None:
        name = self.key.ref.name
        try:
            self._pipeline = Pipeline(
                name,
                [part for ref in self._spec.handlers for part in self._parts(ref, others)],
                others.answering(self._spec.target),
                service="" if self._spec.target is None else self._spec.target.name,
                counters=self._counters,
            )
        except ChangeoverError as error:
            raise Refused(refusal_of(error, Site(Stage.LINK, str(self.key.ref)))) from None
        self.linked()
        self._note(PipelineEventKind.ASSEMBLED)

    async def activate(self) -> Refusal | None:
        self._note(PipelineEventKind.ACTIVATED)
        return None

    def _parts(self, ref: HandlerRef, others: Others) -> tuple[Handler, ...]:
        """What a handler is in the pipeline: a ready-made one that sees in and out is two."""
        if not ref.plugin:
            return self._ready_made.parts(self.key.ref.name, ref)
        offered = others.plugin(ref.plugin).handlers
        if ref.handler not in offered:
            known = ", ".join(sorted(offered)) or "none"
            raise ContractBroken(f"plugin {ref.plugin} has no handler {ref.handler!r}; it has: {known}")
        return (offered[ref.handler],)

    async def end(self) -> Refusal | None:
        self.lifecycle.end()
        self._pipeline = None
        return None

    def _note(self, kind: PipelineEventKind) -> None:
        detail = f"{len(self._spec.handlers)} handlers, of epoch {self.key.since}"
        self._counters.observer.note(PipelineEvent(kind, self.key.ref.name, "", detail))


class ChannelUnit(Unit):
    """What comes before the first message at an address, and the raw protocols that may be spoken there.

    Attributes:
        pipelines: By the name of their initializer.
    """

    def __init__(self, spec: ChannelSpec, store: Path, hooks: Hooks, counters: Counters) -> None:
        super().__init__(spec.key)
        self.pipelines: dict[str, MessagePipeline] = {}
        self._spec = spec
        self._store = store
        self._hooks = hooks
        self._counters = counters
        self._channel: ServerChannel | None = None

    @property
    def value(self) -> ServerChannel:
        if self._channel is None:
            raise AssertionError(f"bug: {self.key} is not prepared")
        return self._channel

    async def prepare(self, others: Others) -> None:
        try:
            self._channel = ServerChannel(self._spec, self._store)
        except (ChangeoverError, ValueError, OSError) as error:
            raise Refused(refusal_of(error, Site(Stage.LINK, str(self.key.ref)))) from None
        for name in self._spec.initializers:
            try:
                self.pipelines[name] = await self._configured(name, others)
                self.pipelines[name].count(self.key.ref.name, self._counters)
            except Refused as refused:
                fault, summary = refused.refusal.fault, refused.refusal.summary
                self._note(PipelineEventKind.INITIALIZER_FAILED, name, f"{fault.value}: {summary}")
                raise
        self.linked()

    async def _configured(self, name: str, others: Others) -> MessagePipeline:
        """Have an initializer say what is spoken; its failure is its plugin's."""
        owner, _, own = name.partition(":")
        plugin = others.plugin(owner)
        made = await plugin.initializer(own)
        served = Served(self.key.ref.name, self._spec.tls is not None, bool(self._spec.proxies))
        site = plugin.site(Stage.PREPARE, f"initializer {own}")
        return await self._hooks.beside(lambda: configured(name, initializer_of(made, own), served), site, plugin.work)

    def _note(self, kind: PipelineEventKind, name: str, detail: str) -> None:
        self._counters.observer.note(PipelineEvent(kind, "", name, detail))

    async def end(self) -> Refusal | None:
        self.lifecycle.end()
        self._channel = None
        self.pipelines.clear()
        return None


def unit_of(spec: UnitSpec, store: Path, hooks: Hooks, counters: Counters, ready_made: ReadyMadeHandlers) -> Unit:
    """Make the unit that `spec` describes; nothing is begun yet."""
    if isinstance(spec, PluginSpec):
        return PluginUnit(spec, store, hooks)
    if isinstance(spec, ApplicationSpec):
        return ApplicationUnit(spec, hooks)
    if isinstance(spec, ServiceSpec):
        return ServiceUnit(spec, hooks)
    if isinstance(spec, ChannelSpec):
        return ChannelUnit(spec, store, hooks, counters)
    return PipelineUnit(spec, counters, ready_made)
