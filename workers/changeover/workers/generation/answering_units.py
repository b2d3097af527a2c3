"""The units that answer requests: the application, and services of plugins."""

from collections.abc import Callable
from pathlib import Path

from changeover.workers.generation.units import AnsweringUnit, Others
from changeover.workers.plugins.hooks import GRACE, Hooks, stop_work
from changeover.workers.plugins.lifecycle import State
from changeover.workers.plugins.link import Offered
from changeover.workers.plugins.refused import Origin, Refused, Site
from changeover.workers.plugins.remains import Remains
from changeover.workers.protocol.refusal import Refusal, Stage
from changeover.workers.protocol.snapshot import ApplicationSpec, ServiceSpec, UnitKey
from changeover.workers.serving.answering import Answering
from changeover.workers.serving.application import instance_of, load
from changeover.workers.serving.asgi import Application
from changeover.workers.serving.attribution import UnitWork
from changeover.workers.serving.wsgi import WsgiApplication


class _Instance(AnsweringUnit):
    """A unit that may be an application with a lifespan, or with threads."""

    def __init__(self, key: UnitKey, hooks: Hooks) -> None:
        super().__init__(key)
        self._hooks = hooks
        self._made: Answering = None
        self._work = UnitWork(str(key.ref))

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
        await stop_work(self._work)
        if isinstance(made, WsgiApplication):
            await made.close(GRACE)
            self._work.threads.update(made.pool.unfinished())
        return told

    async def _lifespan(self, half: Callable[[float], object], site: Site) -> None:
        deadline = self._hooks.deadline
        await self._hooks.on_loop(half, deadline, site=site, work=self._work, deadline=deadline + 5 * GRACE)

    def remains(self) -> tuple[UnitWork, Remains | None]:
        return self._work, None


class ApplicationUnit(_Instance):
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


class ServiceUnit(_Instance):
    """A service of a plugin, made with the plugin's instance."""

    def __init__(self, spec: ServiceSpec, hooks: Hooks) -> None:
        super().__init__(spec.key, hooks)
        self._spec = spec

    async def prepare(self, others: Others) -> None:
        plugin = others.plugin(self._spec.plugin)
        self._made = await plugin.service(self._spec.service)
        await self._start(plugin.site(Stage.INITIALISE).origin)
