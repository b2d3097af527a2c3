"""Tests of plugins without processes or sockets: a worker in memory that loads, serves and swaps for real."""

import asyncio
import dataclasses
import os
import tempfile
import threading
from collections.abc import Coroutine, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
import uvloop

from changeover.workers.errors import ChangeoverError
from changeover.workers.generation.remnants import Leak
from changeover.workers.generation.simulated import Exchange, Simulation
from changeover.workers.generation.solo import Application, SoloSnapshot, Stored, store_plugin
from changeover.workers.plugins import artifact, capabilities
from changeover.workers.plugins.manifest import Manifest
from changeover.workers.plugins.partial import changed_resources
from changeover.workers.preflight.alone import NotRehearsed, rehearse
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.rehearsal import Confinement, RehearsalOrder, with_other_resources
from changeover.workers.protocol.snapshot import Snapshot
from changeover.workers.serving import attribution
from changeover.workers.serving.contract import Headers

__all__ = [
    "Leak",
    "NotRehearsed",
    "NotResources",
    "Refusal",
    "SimulatedResponse",
    "SimulatedWorker",
    "SwapRefused",
    "answered",
]

T = TypeVar("T")
StrPath = str | os.PathLike[str]

DEADLINE = 30.0
"""Seconds that a request may take."""

_attributed = threading.Lock()


async def answered(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
    """The application behind a plugin's handlers where nothing else answers: `answered`, in plain text."""
    if scope["type"] != "http":
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"answered\n"})


_ANSWERED = Application("changeover.testing:answered", str(Path(__file__).parents[1]))


class SwapRefused(ChangeoverError):
    """The worker refused to load a plugin, and goes on with what served.

    Attributes:
        refusal: Stage, reason, place and traceback.
    """

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(refusal.line)


class NotResources(ChangeoverError):
    """What was given as changed resources is none, or not only; nothing changed.

    Attributes:
        path: The folder that was given.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        there = ", ".join(f"{name} = {resource.path}" for name, resource in manifest.resources.items()) or "none"
        super().__init__(f"{path}: has files that are no resources of {manifest.id} {manifest.version} ({there})")


class SimulatedResponse:
    """What a request was answered with.

    Attributes:
        status: Its status.
        headers: Its fields.
        content: Its whole body.
        epoch: The generation that answered.
    """

    def __init__(self, status: int, headers: Headers, content: bytes) -> None:
        self.status = status
        self.headers = headers
        self.content = content
        self.epoch = int(headers.pop("x-changeover-epoch"))
        headers.pop("x-changeover-worker", "")

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.content.decode()

    def json(self) -> Any:
        """The body as JSON."""
        return msgspec.json.decode(self.content)

    def __repr__(self) -> str:
        return f"<SimulatedResponse {self.status} from epoch {self.epoch}, {len(self.content)} bytes>"


class SimulatedWorker:
    """A worker with one plugin, to be used as a context manager; needs no running loop.

    Services of the plugin are mounted where its manifest proposes, or at `/<name>`; all its handlers run in front
    of them in the order of their phases. What no service answers is answered by `app`.

    Args:
        plugin: The plugin's folder, wheel or file.
        config: Its configuration.
        beside: Folders, wheels or files of plugins that it requires.
        app: `module:attribute` of an ASGI or WSGI application; without one, a plain answer with status 200.
        app_dir: Where `app` is imported from.
        deadline: Seconds for one hook, one import, or one lifespan's startup.
        grant: Capabilities that the plugins may use, of those that their manifests ask for.

    Attributes:
        degraded: Failures that came too late to refuse: `on_activate`, `on_deactivate`, `on_unload`.
    """

    def __init__(
        self,
        plugin: StrPath,
        *,
        config: Mapping[str, Any] | None = None,
        beside: Iterable[StrPath] = (),
        app: str = "",
        app_dir: StrPath = ".",
        deadline: float = 10.0,
        grant: Iterable[str] = (),
    ) -> None:
        self._plugin = Path(plugin)
        self._config = dict(config or {})
        self._beside = [Path(path) for path in beside]
        self._app = Application(app, str(Path(app_dir).resolve())) if app else _ANSWERED
        self._deadline = deadline
        self._grant = tuple(grant)
        self._epochs = 0
        self.degraded: list[Refusal] = []

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="changeover-")
        self._store = Path(self._folder.name)
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="simulated worker", daemon=True)
        self._thread.start()
        self._owner = _attributed.acquire(blocking=False)
        if self._owner:
            attribution.install(self._loop)
        self._simulation = Simulation(self._store, self._deadline, self.degraded.append)
        try:
            self.swap(self._plugin)
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        try:
            self._run(self._simulation.close())
        finally:
            if self._owner:
                attribution.uninstall()
                _attributed.release()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            for stored in self._store.iterdir():
                artifact.remove(self._store, stored.name)
            self._folder.cleanup()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE + 10 * self._deadline)

    @property
    def epoch(self) -> int:
        """The generation that serves, from 1."""
        return self._simulation.epoch

    @property
    def in_flight(self) -> int:
        """How many requests, and tasks that they started, are under way, on whichever version."""
        return self._simulation.leases

    def swap(self, plugin: StrPath, *, config: Mapping[str, Any] | None = None) -> int:
        """Replace the plugin by another content, between two requests; what is in flight finishes on the old one.

        Args:
            plugin: The new content's folder, wheel or file.
            config: Its configuration, when it changes.

        Returns:
            The epoch that serves from now on.

        Raises:
            SwapRefused: The new content does not load, or asks for what is not granted; nothing changed.
            ManifestInvalid: It is no plugin; nothing changed.
        """
        config = self._config if config is None else dict(config)
        self._epochs += 1
        own, snapshot = self._candidate(plugin, config, self._epochs)
        refusal = self._run(self._simulation.swap(snapshot))
        if refusal is not None:
            raise SwapRefused(refusal)
        self._own, self._config = own, config
        return self._epochs

    def preflight(self, plugin: StrPath, *, config: Mapping[str, Any] | None = None) -> Refusal | None:
        """Rehearse another content beside what serves, as a server does before any worker loads it; nothing changes.

        It runs in a process of its own, which is confined as far as the kernel can: with its self-test, and without the
        capabilities that it was not granted.

        Args:
            plugin: The new content's folder or file.
            config: Its configuration, when it changes.

        Returns:
            Why a server would refuse it; None when it would ask its workers.

        Raises:
            NotRehearsed: The process gave no answer, or what serves cannot be loaded in it.
            ManifestInvalid: It is no plugin.
        """
        try:
            _, snapshot = self._candidate(plugin, self._config if config is None else dict(config), self._epochs + 1)
        except SwapRefused as refused:
            return refused.refusal
        settings = Confinement(deadline=DEADLINE, hook=self._deadline)
        serves = self._simulation.snapshot
        other = with_other_resources(snapshot, serves)
        return rehearse(RehearsalOrder(serves, snapshot, settings, str(self._store), other_resources=other)).refusal

    def _candidate(self, plugin: StrPath, config: Mapping[str, Any], epoch: int) -> tuple[Stored, Snapshot]:
        own = self._granted(store_plugin(Path(plugin), self._store, config))
        stored = [self._granted(store_plugin(path, self._store, {})) for path in self._beside]
        return own, self._snapshot(epoch, own, stored)

    def _granted(self, stored: Stored) -> Stored:
        asked = stored.manifest.capabilities
        if lacks := capabilities.lacking(asked, self._grant):
            plugin = stored.manifest.id
            reason = capabilities.refusal(lacks, self._grant, "SimulatedWorker(...)")
            raise SwapRefused(Refusal(Stage.SCAN, Fault.CAPABILITY, f"{plugin} {reason}", unit=f"plugin {plugin}"))
        return dataclasses.replace(stored, granted=capabilities.granted(asked, self._grant))

    def resources(self, path: StrPath) -> int:
        """Lay changed resources over the plugin that serves, and swap: it gets `on_resources` where it has that.

        Args:
            path: A folder with files where the plugin's folder has its resources; others stay as they are.

        Returns:
            The epoch that serves from now on.

        Raises:
            NotResources: There are files in it that are no resources of the plugin; nothing changed.
            SwapRefused: The plugin does not take them; nothing changed.
        """
        own = self._own
        files = artifact.get(self._store, own.artifact) | artifact.read_files(Path(path))
        digest = artifact.put(self._store, files)
        if digest != own.artifact and not changed_resources(own.manifest, self._store, own.artifact, digest):
            raise NotResources(Path(path), own.manifest)
        return self.swap(artifact.folder_of(self._store, digest))

    def _snapshot(self, epoch: int, own: Stored, beside: list[Stored]) -> Snapshot:
        solo = SoloSnapshot(epoch, self._simulation.snapshot)
        solo.add_plugins({stored.manifest.id: stored for stored in [*beside, own]})
        solo.add_services(own.manifest)
        solo.add_application(own.manifest, self._app)
        return solo.snapshot()

    def extension(self, point: str) -> tuple[Any, ...]:
        """What plugins offer at an extension point, each after what its plugin requires; a swap makes it the old one's.

        Args:
            point: Its name (`shop.pricing`).
        """
        return self._simulation.extensions.get(point, ())

    def get(self, path: str, *, headers: Mapping[str, str] | None = None) -> SimulatedResponse:
        """Ask for `path`, which may carry a query."""
        return self.request("GET", path, headers=headers)

    def post(
        self, path: str, *, content: bytes = b"", json: object = None, headers: Mapping[str, str] | None = None
    ) -> SimulatedResponse:
        """Send `content`, or `json` encoded, to `path`."""
        return self.request("POST", path, content=content, json=json, headers=headers)

    def request(
        self,
        method: str,
        path: str,
        *,
        content: bytes = b"",
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> SimulatedResponse:
        """Send one request through the plugin's pipeline and wait for the whole answer; any thread may.

        Raises:
            TimeoutError: It was not answered in time.
            ConnectionError: The response broke off.
        """
        fields = {"host": "testserver"}
        if json is not None:
            content, fields["content-type"] = msgspec.json.encode(json), "application/json"
        if content:
            fields["content-length"] = str(len(content))
        fields |= {name.lower(): value for name, value in (headers or {}).items()}
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()]
        return self._run(self._ask(method, path, raw, content))

    async def _ask(self, method: str, path: str, fields: list[tuple[bytes, bytes]], body: bytes) -> SimulatedResponse:
        exchange = Exchange(method, path, fields, body)
        async with asyncio.timeout(DEADLINE):
            await self._simulation.answer(exchange)
        return SimulatedResponse(exchange.status, Headers(exchange.fields), exchange.body)

    def leaks(self) -> list[Leak]:
        """What is still alive of contents that were replaced and that no request uses any more."""
        return self._run(self._simulation.leaks())
