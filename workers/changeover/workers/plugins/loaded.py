"""One plugin instance in a worker, from its files in the store to its end."""

import asyncio
import copy
import inspect
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from changeover.workers.plugins import artifact, bytecode, manifest_reading
from changeover.workers.plugins.api import Plugin, overrides
from changeover.workers.plugins.facades import exits, signals
from changeover.workers.plugins.globs import compiled
from changeover.workers.plugins.hooks import Hooks, stop_work
from changeover.workers.plugins.installed import InstalledModules, as_taken
from changeover.workers.plugins.lifecycle import Lifecycle, State, Step, Undo
from changeover.workers.plugins.link import Linker, Offered
from changeover.workers.plugins.manifest import Manifest
from changeover.workers.plugins.modules import PluginModules
from changeover.workers.plugins.partial import SharedModules, changed_resources
from changeover.workers.plugins.points import points_behind
from changeover.workers.plugins.refused import ContractBroken, Origin, Refused, Site, refusal_of
from changeover.workers.plugins.remains import Remains
from changeover.workers.plugins.resources import LoadContext, LoadStage, PluginVersion, Resource
from changeover.workers.plugins.witness import Witness
from changeover.workers.protocol.refusal import Refusal, Stage
from changeover.workers.protocol.snapshot import PluginSpec, UnitKey
from changeover.workers.serving.asgi import Application
from changeover.workers.serving.attribution import UnitWork
from changeover.workers.serving.handlers import Handler
from changeover.workers.serving.handshake import HandshakeOutcome
from changeover.workers.serving.offering import here
from changeover.workers.serving.wsgi import WsgiApplication


class LoadedPlugin:
    """A plugin instance; its methods are called in the order of its lifecycle.

    Args:
        spec: What the snapshot says of it.
        store: The artifact store.
        hooks: Runs its code.
        stage: What it is loaded for.

    Attributes:
        version: Which content it is.
        lifecycle: Where it stands.
        handlers: Its handlers by name, once it is linked.
        extensions: What it offers, by extension point, once it is linked.
        instance: Of its class with the hooks; None for a stateless plugin.
        required: What it requires, in the candidate that it was made for.
        remains: Tells, after its end, what is still alive.
        left: What it and its copies started and could outlive the last of them, once that has ended.
        exported: What it gave the last time to a content that is to replace it, nothing included; None while it was
            not asked.
        loaded_at: When its manifest was understood, in seconds since 1970; 0 before that.
        took_over: Whether it went on with what another content exported.
        is_copy: Whether it is a copy of what serves, which took changed resources.
        work: What its code started until it could serve: a copy has it in common with what it is made of.
        serving: What its hooks started since, such as consumers: its own.
    """

    def __init__(self, spec: PluginSpec, store: Path, hooks: Hooks, stage: LoadStage = "worker") -> None:
        self.spec = spec
        self.version = PluginVersion(spec.key.ref.name, spec.version, spec.key.digest)
        self.lifecycle = Lifecycle(str(spec.key.ref), lambda state: hooks.witness.moved(spec.key, state))
        self.handlers: dict[str, Handler] = {}
        self.extensions: dict[str, object] = {}
        self.instance: Plugin[Any] | None = None
        self.remains: Remains | None = None
        self.left = UnitWork(str(spec.key.ref), spec.granted, spec.key)
        self.exported: bytes | None = None
        self.required: frozenset[UnitKey] = frozenset()
        self.took_over = self.is_copy = False
        self.loaded_at = 0.0
        self.work = UnitWork(str(spec.key.ref), spec.granted, spec.key)
        self.serving = UnitWork(str(spec.key.ref), spec.granted, spec.key)
        self.serving.asks = self.work.asks
        self._root = artifact.folder_of(store, spec.artifact)
        self._files: tuple[str, ...] = ()
        self._store = store
        self._hooks = hooks
        self._stage: LoadStage = stage
        self._manifest: Manifest | None = None
        self._shared: SharedModules | None = None
        self._is_copied = self._has_applications = False

    @property
    def witness(self) -> Witness:
        """Hears what happens in its life."""
        return self._hooks.witness

    @property
    def takes(self) -> str:
        """Range of its own versions whose state it can take; empty for none."""
        return self._manifest.state if self._manifest else ""

    @property
    def exclusive(self) -> bool:
        """Whether it is active in one worker only."""
        return self.instance is not None and self._manifest is not None and self._manifest.singleton

    @property
    def copies(self) -> list["LoadedPlugin"]:
        """What it is a copy of, and its own copies, as far as they have not ended."""
        users = self._shared.modules.users if self._shared else ()
        return [each for each in users if isinstance(each, LoadedPlugin) and each is not self]

    def site(self, stage: Stage, hook: str = "") -> Site:
        """Where a failure would be placed now."""
        modules = self._shared.modules if self._shared else None
        origin = Origin(modules.root, modules.package) if modules else Origin(self._root)
        return Site(stage, str(self.spec.key.ref), hook, origin)

    async def prepare(self, epoch: int, old: "LoadedPlugin | None", required: frozenset[UnitKey] = frozenset()) -> None:
        """Load, link and initialise it, or a copy of `old` where that will do. `end` undoes what a failure leaves.

        Args:
            epoch: The candidate's.
            old: What serves now under the same id, None when nothing does.
            required: What it requires, in the candidate.

        Raises:
            Refused: With the stage, the reason and the place.
        """
        self.required = required
        changed = await self._hooks.beside(lambda: self._open(old), self.site(Stage.LOAD), self.work)
        self.loaded_at = time.time()
        self.witness.moved(self.spec.key, self.lifecycle.state)
        if changed and old is not None:
            await self._go_on(old, changed)
            return
        await self._hooks.beside(self._linker.load, self.site(Stage.LOAD), self.work)
        await self._hooks.beside(self._link, self.site(Stage.LINK), self.work)
        self.lifecycle.advance(Step.LINK)
        await self._initialise(epoch, old.version if old else None)
        await self._hooks.beside(self._note_points, self.site(Stage.INITIALISE), self.work)
        self.lifecycle.advance(Step.INITIALISE)

    def _note_points(self) -> None:
        """Which extension points its code may ask through modules of others, whoever imported these first."""
        if self._shared is not None:
            self.work.asks |= points_behind(self._shared.modules.imported, here.points)

    def _open(self, old: "LoadedPlugin | None") -> tuple[str, ...]:
        """Read it, and make its modules importable; or say which resources a copy of `old` is to take."""
        files = artifact.get(self._store, self.spec.artifact)
        self._files = tuple(files)
        self._manifest = manifest_reading.load(self._root)
        told = (self._manifest.id, self._manifest.version)
        if told != (self.spec.key.ref.name, self.spec.version):
            raise ContractBroken(f"the artifact is {told[0]} {told[1]}, not {self.version.id} {self.version.version}")
        if old is not None and self._may_copy(old):
            changed = changed_resources(self._manifest, self._store, old.spec.artifact, self.spec.artifact)
            if changed:
                return changed
        modules = self._modules(files)
        modules.users.append(self)
        self._shared = SharedModules(modules)
        modules.open()
        if self.lifecycle.state is State.REMOVED:
            modules.close()  # the deadline passed meanwhile, and whoever ended it found nothing to close
        return ()

    def _modules(self, files: artifact.Files) -> PluginModules:
        spec, version = self.spec, self.version
        if spec.distribution:
            found = as_taken(version.id, spec.distribution, spec.artifact)
            return InstalledModules(found, files, self.work, version.version)
        instance = f"_{spec.artifact[:12]}_{spec.key.since}"
        code = bytecode.read(self._store, spec.artifact)
        packages = self._manifest.packages if self._manifest else ""
        return PluginModules(version.id, instance, self._root, files, code, self.work, version.version, packages)

    def _may_copy(self, old: "LoadedPlugin") -> bool:
        """Whether a copy of `old` is this content, provided that only resources differ."""
        mine, its = self.spec, old.spec
        alike = (mine.config, mine.granted, self.required, self._manifest)
        return (
            (mine.code or mine.artifact) == (its.code or its.artifact)
            and alike == (its.config, its.granted, old.required, old._manifest)
            and not old._has_applications
            and old.instance is not None
            and overrides(old.instance, "on_resources")
        )

    async def _go_on(self, old: "LoadedPlugin", changed: tuple[str, ...]) -> None:
        """Be a copy of `old`, which serves and is not touched, that takes `changed` resources."""
        assert old._shared is not None
        self._shared, self.is_copy, self.took_over = old._shared.join(), True, old.took_over
        old._is_copied = True
        self.work.asks |= old.work.asks
        self._shared.modules.users.append(self)
        serving = old.instance
        await self._hooks.beside(lambda: self._link_to(copy.copy(serving)), self.site(Stage.LINK), self.work)
        self.lifecycle.advance(Step.LINK)
        resources = self._resources()
        given = {name: resources[name] for name in changed}
        assert self.instance is not None
        site = self.site(Stage.INITIALISE, "on_resources")
        await self._hooks.hook(self.instance.on_resources, given, site=site, work=self.work)
        self.lifecycle.advance(Step.INITIALISE)

    @property
    def _linker(self) -> Linker:
        if self._manifest is None or self._shared is None:
            raise AssertionError(f"bug: {self.spec.key.ref} is not open")
        return Linker(self._manifest, self._shared.modules)

    def _link(self) -> None:
        linker = self._linker
        self._link_to(linker.plugin(linker.config(self.spec.config)))

    def _link_to(self, instance: Plugin[Any] | None) -> None:
        self.instance = instance
        self.handlers = self._linker.handlers(instance)
        self.extensions = self._linker.extensions(instance)

    async def _initialise(self, epoch: int, old: PluginVersion | None) -> None:
        if self.instance is None:
            return
        context = LoadContext(self._stage, self.version, epoch, self._resources())
        if old is None:
            site = self.site(Stage.INITIALISE, "on_load")
            await self._hooks.hook(self.instance.on_load, context, site=site, work=self.work)
        else:
            site = self.site(Stage.INITIALISE, "on_reload")
            await self._hooks.hook(self.instance.on_reload, context, old, site=site, work=self.work)

    def _resources(self) -> dict[str, Resource]:
        declared = self._manifest.resources if self._manifest else {}
        return {
            name: Resource(self.version.id, name, self._paths(resource.path)) for name, resource in declared.items()
        }

    def _paths(self, glob: str) -> tuple[Path, ...]:
        return tuple(sorted(self._root / name for name in self._files if compiled([glob]).fullmatch(name)))

    async def service(self, name: str) -> Offered:
        """Make one of its services, with its instance.

        Raises:
            Refused: The service is not what the manifest says, or its constructor raised.
        """
        linker, instance = self._linker, self.instance
        made = await self._hooks.beside(lambda: linker.service(name, instance), self.site(Stage.LINK), self.work)
        self._has_applications = self._has_applications or isinstance(made, Application | WsgiApplication)
        return made

    async def initializer(self, name: str) -> object:
        """Make one of its initializers, with its instance.

        Raises:
            Refused: It is not what the manifest says, or its constructor raised.
        """
        linker, instance = self._linker, self.instance
        return await self._hooks.beside(lambda: linker.initializer(name, instance), self.site(Stage.LINK), self.work)

    async def selector(self, name: str) -> Callable[[HandshakeOutcome], object]:
        """Find one of its selectors.

        Raises:
            Refused: It is not what the manifest says, or its constructor raised.
        """
        linker, instance = self._linker, self.instance
        return await self._hooks.beside(lambda: linker.selector(name, instance), self.site(Stage.LINK), self.work)

    @property
    def is_tested(self) -> bool:
        """Whether its manifest names a self-test."""
        return bool(self._manifest and self._manifest.self_test)

    async def test(self) -> None:
        """Run its self-test, which is not done before a rehearsal asks for it.

        Raises:
            Refused: It raised, returned False, missed the deadline, or is not what the manifest says.
        """
        linker, instance = self._linker, self.instance
        site = self.site(Stage.PREFLIGHT, "self_test")
        test = await self._hooks.beside(lambda: linker.self_test(instance), site, self.work)
        if inspect.iscoroutinefunction(test):
            passed = await self._hooks.on_loop(test, site=site, work=self.work)
        else:
            passed = await self._hooks.beside(test, site, self.work)
        if passed is False:
            raise Refused(refusal_of(ContractBroken("the self-test returned False"), site))

    async def activate(self) -> Refusal | None:
        """Run `on_activate`, but in a preflight; what went wrong is told and changes nothing."""
        return await self._told("on_activate")

    async def deactivate(self) -> Refusal | None:
        """Run `on_deactivate`, but in a preflight; what went wrong is told and changes nothing."""
        return await self._told("on_deactivate")

    async def _told(self, hook: str) -> Refusal | None:
        if self._stage == "preflight":
            return None
        try:
            await self.ask(hook, stage=Stage.COMMIT)
        except Refused as refused:
            return refused.refusal
        return None

    async def ask(self, hook: str, *args: object, stage: Stage, within: float = math.inf) -> Any:
        """Run one of its hooks on the loop; a stateless plugin, or one that has ended, has none.

        Returns:
            What the hook returned.

        Raises:
            Refused: It raised, or missed its deadline.
        """
        if self.instance is None:
            return None
        call = getattr(self.instance, hook)
        work = self.work if self.lifecycle.state is State.INITIALIZED else self.serving
        deadline = min(within, self._hooks.deadline)
        return await self._hooks.on_loop(call, *args, site=self.site(stage, hook), work=work, deadline=deadline)

    async def run(self, hook: str, *args: object, stage: Stage) -> None:
        """Run one of its hooks: on the loop when it is `async def`, in the loader thread otherwise.

        Raises:
            Refused: It raised, or missed its deadline.
        """
        await self._hooks.hook(getattr(self.instance, hook), *args, site=self.site(stage, hook), work=self.work)

    async def stop_serving(self) -> None:
        """Cancel the tasks that it started since it could serve."""
        await stop_work(self.serving)

    async def end(self) -> Refusal | None:
        """Undo what was done, in reverse; what went wrong is told, and everything is undone all the same.

        Raises:
            IllegalStep: It serves, or has ended already.
        """
        told: Refusal | None = None
        stage = Stage.COMMIT if self.lifecycle.state is State.DRAINING else Stage.INITIALISE
        undone = self.lifecycle.end()
        last = self._shared is None or self._shared.leave()
        if Undo.UNLOAD_HOOK in undone and last:
            told = await self._unload(stage)
        await self._stop_work(last)
        if last:
            told = await self._leave_process(stage) or told
        for undo in undone:
            if undo is Undo.DROP_INSTANCE:
                self.handlers, self.extensions, self.instance, self.exported = {}, {}, None, None
            elif undo is Undo.DROP_MODULES and self._shared is not None:
                self._shared.modules.users.remove(self)
                self.remains = self._shared.modules.close() if last else None
                self._shared = None
        return told

    async def _stop_work(self, last: bool) -> None:
        """Stop its tasks. What copies may use goes on, in tasks and threads, until the last of them ends."""
        works = [self.serving] if self._is_copied and not last else [self.serving, self.work]
        shared = self._shared.works if self._shared else []
        if last:
            works += shared
        await asyncio.gather(*map(stop_work, works))
        if not last:
            shared += [each for each in (self.serving, self.work) if each.alive()]
            return
        for work in works:
            self.left.tasks |= work.tasks
            self.left.threads |= work.threads

    async def _leave_process(self, stage: Stage) -> Refusal | None:
        """Take back what its code, that of copies included, entered into tables of the process."""
        if self._shared is None:
            return None
        work = self._shared.modules.work
        signals.undo(work)
        if not work.exits:
            return None
        try:
            await self._hooks.beside(lambda: exits.run(work), self.site(stage, "atexit"), self.work)
        except Refused as refused:
            return refused.refusal
        return None

    async def _unload(self, stage: Stage) -> Refusal | None:
        if self.instance is None:
            return None
        try:
            site = self.site(stage, "on_unload")
            await self._hooks.hook(self.instance.on_unload, site=site, work=self.work)
        except Refused as refused:
            return refused.refusal
        return None
