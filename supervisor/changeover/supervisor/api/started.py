"""A server in a process of its own, started and stopped by this program, which is its client."""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote

import msgspec

from changeover.supervisor.api.bodies import Body, CutoverAnswer, CutoverBody, EventsAnswer, RemovalBody, RollbackBody
from changeover.supervisor.api.client import SOCKET_NAME, Client, NoAnswer, ProblemAnswered
from changeover.supervisor.control import Milestone, RegistryView, StatusView
from changeover.supervisor.core.outcome import Outcome, Refused, Strategy
from changeover.supervisor.errors import SupervisorError
from changeover.supervisor.pipelines import PipelineRegistryView, PipelinesView
from changeover.supervisor.plugins import PluginsView
from changeover.supervisor.remaining import LeaksView, LeasesView
from changeover.supervisor.telemetry.stream import Told

BOOT = 60.0
"""Seconds until all workers serve."""
WAIT = 300.0
"""Seconds to wait for the outcome of a cutover; longer than every deadline inside it."""
LEAVE = 45.0
"""Seconds from TERM to being gone; longer than the graceful timeout."""
LOOK = 0.02
"""Seconds between two looks whether the server is ready."""
PRECONDITION_FAILED = 412

T = TypeVar("T")


class ServerFailed(SupervisorError):
    """The server did not start, or ended by itself.

    Attributes:
        status: Its exit status, negative for a signal's number; None when it was still running.
        logs: All that it and its workers wrote.
    """

    def __init__(self, what: str, status: int | None, logs: str) -> None:
        self.status = status
        self.logs = logs
        super().__init__(f"{what}; its log:\n{logs or '(empty)'}")


class OutcomeUnknown(SupervisorError):
    """The server ended, or fell silent, before it told how a cutover ended."""


class Server:
    """Serves while the `async with` block runs.

    The application is named and never passed as an object: it is imported in the server's own workers. Calls wait in
    threads; cancelling one gives up the wait, not what was asked for.

    Args:
        app: `module:attribute` of an application; None serves plugins alone.
        bind: Addresses (`127.0.0.1:0` lets the kernel choose the port; `addresses` has the one it chose).
        workers: How many worker processes.
        plugins: The folder of plugins.
        app_dir: The application's folder; the working directory by default.
        config: A `changeover.toml`; what is said here wins over it.
        name: The service's name.
        runtime_dir: Folder for sockets; a temporary one by default.
        state_dir: Folder for journal and artifacts; a temporary one by default.
        env: Further environment variables for all of its processes.
        arguments: Further arguments of `changeover run`.

    Raises:
        ServerFailed: (On entering) it does not serve within a minute, and its log says why.
    """

    def __init__(
        self,
        app: str | None = None,
        *,
        bind: Sequence[str] = ("127.0.0.1:0",),
        workers: int = 1,
        plugins: str | Path | None = None,
        app_dir: str | Path | None = None,
        config: str | Path | None = None,
        name: str = "server",
        runtime_dir: str | Path | None = None,
        state_dir: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        flags = {
            "--workers": workers,
            "--plugins": plugins,
            "--app-dir": app_dir,
            "--config": config,
            "--name": name,
        }
        given = [f"{flag}={value}" for flag, value in flags.items() if value is not None]
        named = [] if app is None else [app]
        self._arguments = [*named, *given, *(f"--bind={address}" for address in bind), *arguments]
        self._environment = {**os.environ, **(env or {})}
        self._folders = tuple(None if given is None else Path(given).absolute() for given in (runtime_dir, state_dir))
        self._cleanup = contextlib.ExitStack()
        self._process: asyncio.subprocess.Process | None = None
        self._client = Client(Path())
        self._log = Path()
        self._addresses: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens, with the ports that the kernel chose."""
        return self._addresses

    @property
    def pid(self) -> int:
        """The supervisor's process."""
        return self._running().pid

    @property
    def logs(self) -> str:
        """All that the server and its workers wrote so far."""
        return self._log.read_text("utf-8", "replace") if self._log.is_file() else ""

    async def __aenter__(self) -> Self:
        """Start it and wait until every worker serves."""
        try:
            await self._start()
            self._addresses = (await self._until_ready()).listen
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop it gracefully; it is gone afterwards."""
        logs_of_failure = await self._end()
        if error is None and logs_of_failure is not None:
            raise logs_of_failure

    async def reload(
        self,
        *,
        label: str = "",
        only: Sequence[str] = (),
        if_epoch: int | None = None,
        force: bool = False,
        dry_run: bool = False,
        strategy: Strategy = Strategy.AUTO,
        python: str | os.PathLike[str] = "",
        batch: int | None = None,
        surge: int | None = None,
        allow_partial: bool = False,
        until: Milestone = Milestone.ACTIVE,
        on_progress: Callable[[Told], None] | None = None,
    ) -> Outcome:
        """Take what changed on disk into all workers.

        Args:
            label: Your words for it.
            only: Names of the units to take; empty takes everything.
            if_epoch: Refuse unless this epoch is the committed one.
            force: Take content that was rolled back, and unchanged content too; do without state that is not given.
            dry_run: Only say what would change.
            strategy: Swap in the living workers, roll to new ones, or whichever is needed.
            python: Interpreter, or folder of a virtual environment, to roll to; empty for the one that serves, or that
                the configuration names since.
            batch: How many workers of a roll boot at once; None is all of them.
            surge: How many extra workers may exist during a roll; None is as many as there are, fewer is refused.
            allow_partial: Let a roll that may have fewer serve part by part instead.
            until: How far to wait after the commit.
            on_progress: Hears what the server tells on the way, in a thread of its own.

        Raises:
            OutcomeUnknown: The server ended first.
            NoAnswer: There is no server.
        """
        terms = (until, strategy, _seen_from_here(python), batch, surge, allow_partial)
        body = CutoverBody(tuple(only), label, force, dry_run, None, *terms)
        return await asyncio.to_thread(self._cut_over, "/v1/cutovers", body, if_epoch, on_progress)

    async def rollback(
        self,
        *,
        to: int | None = None,
        label: str = "",
        if_epoch: int | None = None,
        until: Milestone = Milestone.ACTIVE,
        on_progress: Callable[[Told], None] | None = None,
    ) -> Outcome:
        """Put earlier committed content back, as a new epoch; arguments as for `reload`.

        Args:
            to: The epoch whose content to put back; None goes back to the one before.
        """
        body = RollbackBody(to, label, until)
        return await asyncio.to_thread(self._cut_over, "/v1/rollbacks", body, if_epoch, on_progress)

    async def remove_plugin(
        self,
        plugin: str,
        *,
        label: str = "",
        if_epoch: int | None = None,
        dry_run: bool = False,
        until: Milestone = Milestone.ACTIVE,
        on_progress: Callable[[Told], None] | None = None,
    ) -> Outcome:
        """Take a plugin out of what serves, whatever lies on disk; further arguments as for `reload`.

        Raises:
            ProblemAnswered: No plugin of that id serves.
        """
        target, body = f"/v1/plugins/{quote(plugin, safe='')}", RemovalBody(label, dry_run, until)
        return await asyncio.to_thread(self._cut_over, target, body, if_epoch, on_progress, "DELETE")

    async def status(self) -> StatusView:
        """How the server fares."""
        return await self._get("/v1/status", StatusView)

    async def leases(self) -> LeasesView:
        """Who holds which epoch."""
        return await self._get("/v1/leases", LeasesView)

    async def leaks(self) -> LeaksView:
        """What was released and is not gone."""
        return await self._get("/v1/leaks", LeaksView)

    async def registry(self, slot: int) -> RegistryView:
        """What the worker in `slot` serves, with its epoch out of the same read."""
        return await self._get(f"/v1/workers/{slot}/registry", RegistryView)

    async def pipelines(self) -> PipelinesView:
        """Every pipeline that serves, with what was counted of it so far."""
        return await self._get("/v1/pipelines", PipelinesView)

    async def pipeline_registry(self, name: str) -> PipelineRegistryView:
        """What every worker really runs as one pipeline."""
        return await self._get(f"/v1/pipelines/{quote(name)}/registry", PipelineRegistryView)

    async def plugins(self) -> PluginsView:
        """Every plugin: what serves, what lies on disk, and what every worker has of it."""
        return await self._get("/v1/plugins", PluginsView)

    async def told(self, after: int = 0) -> tuple[Told, ...]:
        """What is kept of what the server told after event number `after`, oldest first."""
        return (await self._get(f"/v1/events?follow=false&after={after}", EventsAnswer)).events

    async def last_told(self) -> int:
        """Number of the last event that the server told, 0 before the first."""
        told = await self.told()
        return told[-1].sequence if told else 0

    def follow(self, after: int = 0, seconds: float | None = None) -> Iterator[Told]:
        """Yield what the server tells; blocks, so iterate in a thread.

        Args:
            after: Number of the last event that is not wanted.
            seconds: Deadline for all of it; None follows for ever.

        Raises:
            WaitEnded: `seconds` passed.
        """
        fields = {"last-event-id": str(after)}
        for event in self._client.stream("GET", "/v1/events", None, fields, seconds):
            yield msgspec.json.decode(event.data, type=Told)

    def signal(self, number: signal.Signals) -> None:
        """Send the supervisor a signal (`HUP` reloads)."""
        _send(self._running(), number)

    async def _start(self) -> None:
        folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="changeover-")))
        runtime, state = (
            given or folder / default for given, default in zip(self._folders, ("run", "state"), strict=True)
        )
        self._log = folder / "log"
        self._client = Client(runtime / SOCKET_NAME)
        places = [f"--runtime-dir={runtime}", f"--state-dir={state}", "--log-format=text"]
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "changeover.supervisor", "run", *self._arguments, *places),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
            )

    async def _until_ready(self) -> StatusView:
        end = time.monotonic() + BOOT
        while time.monotonic() < end:
            if (status := self._running().returncode) is not None:
                raise ServerFailed(f"the server ended with status {status} before it served", status, self.logs)
            with contextlib.suppress(NoAnswer):
                view = await self.status()
                if view.epoch and view.staff and all(slot.epoch == view.epoch for slot in view.staff):
                    return view
            await asyncio.sleep(LOOK)
        raise ServerFailed(f"the server did not serve within {BOOT:g} s", None, self.logs)

    async def _end(self) -> ServerFailed | None:
        try:
            return await self._stop()
        finally:
            self._cleanup.close()

    async def _stop(self) -> ServerFailed | None:
        process = self._process
        if process is None:
            return None
        if process.returncode == 0:
            return None
        if process.returncode is not None:
            return ServerFailed(
                f"the server ended by itself with status {process.returncode}", process.returncode, self.logs
            )
        with contextlib.suppress(ProcessLookupError):
            _send(process, signal.SIGTERM)
        try:
            status = await asyncio.wait_for(process.wait(), LEAVE)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                _send(process, signal.SIGKILL)
            await process.wait()
            return ServerFailed(f"the server had to be killed: not gone within {LEAVE:g} s of TERM", None, self.logs)
        return ServerFailed(f"the server ended with status {status}", status, self.logs) if status else None

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise ServerFailed("the server was not started: use `async with Server(...)`", None, "")
        return self._process

    async def _get(self, target: str, type: type[T]) -> T:
        return await asyncio.to_thread(self._client.get, target, type)

    def _cut_over(
        self,
        target: str,
        body: Body,
        if_epoch: int | None,
        on_progress: Callable[[Told], None] | None,
        method: str = "POST",
    ) -> Outcome:
        headers = {} if if_epoch is None else {"if-match": f'"{if_epoch}"'}
        try:
            for event in self._client.stream(method, target, body, headers, WAIT):
                if event.event == "end":
                    return msgspec.json.decode(event.data, type=CutoverAnswer).outcome
                if event.event == "told" and on_progress is not None:
                    on_progress(msgspec.json.decode(event.data, type=Told))
        except ProblemAnswered as problem:
            if problem.status != PRECONDITION_FAILED:
                raise
            return Refused(self._client.get("/v1/status", StatusView).epoch, reason=problem.detail)
        raise OutcomeUnknown("the server ended before the outcome was known; `changeover history` has it later")


def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Signal a process by its number: its own method may take the exit status away from the loop (CPython < 3.13.1).

    Raises:
        ProcessLookupError: It has ended.
    """
    if process.returncode is not None:
        raise ProcessLookupError(process.pid)
    os.kill(process.pid, number)


def _seen_from_here(path: str | os.PathLike[str]) -> str:
    """A path as the server sees it, which may run in another folder; empty for none."""
    return os.path.abspath(path) if path else ""
