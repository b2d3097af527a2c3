"""One plugin instance in a worker, from its files in the store to its end."""

import time
from pathlib import Path
from typing import Any

from changeover.workers.plugins import artifact, bytecode, manifest_reading
from changeover.workers.plugins.api import Plugin
from changeover.workers.plugins.hooks import Hooks, stop_work
from changeover.workers.plugins.lifecycle import Lifecycle, State, Step, Undo
from changeover.workers.plugins.link import Linker, Offered
from changeover.workers.plugins.manifest import Manifest
from changeover.workers.plugins.modules import PluginModules, Remains
from changeover.workers.plugins.refused import ContractBroken, Origin, Refused, Site
from changeover.workers.plugins.resources import LoadContext, LoadStage, PluginVersion, Resource
from changeover.workers.plugins.witness import Witness
from changeover.workers.protocol.refusal import Refusal, Stage
from changeover.workers.protocol.snapshot import PluginSpec
from changeover.workers.serving.attribution import UnitWork
from changeover.workers.serving.handlers import Handler


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
        instance: Of its class with the hooks; None for a stateless plugin.
        remains: Tells, after its end, what is still alive.
        left: Tasks and threads that it started and that outlived its end, by name.
        exported: What it gave the last time to a content that is to replace it; None for nothing.
        loaded_at: When its manifest was understood, in seconds since 1970; 0 before that.
        took_over: Whether it went on with what another content exported.
    """

    def __init__(self, spec: PluginSpec, store: Path, hooks: Hooks, stage: LoadStage = "worker") -> None:
        self.spec = spec
        self.version = PluginVersion(spec.key.ref.name, spec.version, spec.key.digest)
        self.lifecycle = Lifecycle(str(spec.key.ref), lambda state: hooks.witness.moved(spec.key, state))
        self.handlers: dict[str, Handler] = {}
        self.instance: Plugin[Any] | None = None
        self.remains: Remains | None = None
        self.left: tuple[str, ...] = ()
        self.exported: bytes | None = None
        self.took_over = False
        self.loaded_at = 0.0
        self.work = UnitWork(str(spec.key.ref))
        self._root = artifact.folder_of(store, spec.artifact)
        self._store = store
        self._hooks = hooks
        self._stage: LoadStage = stage
        self._manifest: Manifest | None = None
        self._modules: PluginModules | None = None

    @property
    def witness(self) -> Witness:
        """Hears what happens in its life."""
        return self._hooks.witness

    @property
    def takes(self) -> str:
        """Range of its own versions whose state it can take; empty for none."""
        return self._manifest.state if self._manifest else ""

    def site(self, stage: Stage, hook: str = "") -> Site:
        """Where a failure would be placed now."""
        package = self._modules.package if self._modules else ""
        return Site(stage, str(self.spec.key.ref), hook, Origin(self._root, package))

    async def prepare(self, epoch: int, old: "LoadedPlugin | None") -> None:
        """Load, link and initialise it. What was done before a failure is undone by `end`.

        Args:
            epoch: The candidate's.
            old: What serves now under the same id, None when nothing does.

        Raises:
            Refused: With the stage, the reason and the place.
        """
        await self._hooks.beside(self._open, self.site(Stage.LOAD), self.work)
        self.loaded_at = time.time()
        self.witness.moved(self.spec.key, self.lifecycle.state)
        await self._hooks.beside(self._linker.load, self.site(Stage.LOAD), self.work)
        await self._hooks.beside(self._link, self.site(Stage.LINK), self.work)
        self.lifecycle.advance(Step.LINK)
        await self._initialise(epoch, old.version if old else None)
        self.lifecycle.advance(Step.INITIALISE)

    def _open(self) -> None:
        files = artifact.get(self._store, self.spec.artifact)
        self._manifest = manifest_reading.load(self._root)
        told = (self._manifest.id, self._manifest.version)
        if told != (self.spec.key.ref.name, self.spec.version):
            raise ContractBroken(f"the artifact is {told[0]} {told[1]}, not {self.version.id} {self.version.version}")
        instance = f"{self.spec.artifact[:12]}_{self.spec.key.since}"
        code = bytecode.read(self._store, self.spec.artifact)
        self._modules = PluginModules(self.version.id, instance, self._root, files, code)
        self._modules.open()

    @property
    def _linker(self) -> Linker:
        if self._manifest is None or self._modules is None:
            raise AssertionError(f"bug: {self.spec.key.ref} is not open")
        return Linker(self._manifest, self._modules)

    def _link(self) -> None:
        linker = self._linker
        self.instance = linker.plugin(linker.config(self.spec.config))
        self.handlers = linker.handlers(self.instance)

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
            name: Resource(self.version.id, name, tuple(sorted(filter(Path.is_file, self._root.glob(resource.path)))))
            for name, resource in declared.items()
        }

    async def service(self, name: str) -> Offered:
        """Make one of its services, with its instance.

        Raises:
            Refused: The service is not what the manifest says, or its constructor raised.
        """
        linker, instance = self._linker, self.instance
        return await self._hooks.beside(lambda: linker.service(name, instance), self.site(Stage.LINK), self.work)

    async def initializer(self, name: str) -> object:
        """Make one of its initializers, with its instance.

        Raises:
            Refused: It is not what the manifest says, or its constructor raised.
        """
        linker, instance = self._linker, self.instance
        return await self._hooks.beside(lambda: linker.initializer(name, instance), self.site(Stage.LINK), self.work)

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

    async def ask(self, hook: str, *args: object, stage: Stage) -> Any:
        """Run one of its hooks on the loop; a stateless plugin, or one that has ended, has none.

        Returns:
            What the hook returned.

        Raises:
            Refused: It raised, or missed its deadline.
        """
        if self.instance is None:
            return None
        call = getattr(self.instance, hook)
        return await self._hooks.on_loop(call, *args, site=self.site(stage, hook), work=self.work)

    async def end(self) -> Refusal | None:
        """Undo what was done, in reverse; what went wrong is told, and everything is undone all the same.

        Raises:
            IllegalStep: It serves, or has ended already.
        """
        told: Refusal | None = None
        stage = Stage.COMMIT if self.lifecycle.state is State.DRAINING else Stage.INITIALISE
        for undo in self.lifecycle.end():
            if undo is Undo.UNLOAD_HOOK:
                told = await self._unload(stage)
                self.left = await stop_work(self.work)
            elif undo is Undo.DROP_INSTANCE:
                self.handlers, self.instance, self.exported = {}, None, None
            elif self._modules is not None:
                self.remains, self._modules = self._modules.close(), None
        return told

    async def _unload(self, stage: Stage) -> Refusal | None:
        if self.instance is None:
            return None
        try:
            site = self.site(stage, "on_unload")
            await self._hooks.hook(self.instance.on_unload, site=site, work=self.work)
        except Refused as refused:
            return refused.refusal
        return None
