"""The tour itself, from the first version to the rollback."""

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from changeover.supervisor.api.started import Server
from changeover.supervisor.cli.outcomes import refusal_lines
from changeover.supervisor.cli.progress import Progress
from changeover.supervisor.cli.tour.load import Load
from changeover.supervisor.cli.tour.result import Finding, Result, Window, asked_since
from changeover.supervisor.cli.tour.versions import install
from changeover.supervisor.core.outcome import Committed, Outcome
from changeover.supervisor.core.records.cutover import CutoverAborted, CutoverCompleted
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.core.records.request import NothingChanged, RequestRefused, RollNeeded
from changeover.supervisor.telemetry.amounts import in_all
from changeover.supervisor.telemetry.stream import Told

WORKERS = 4
STEADY = 2.0
"""Seconds of load between two cutovers."""
OUTCOME = 30.0
"""Seconds within which a signal has led to an outcome."""
TRACEBACK = 8

Say = Callable[[str], None]
Ended = CutoverCompleted | CutoverAborted | RequestRefused | NothingChanged | RollNeeded
_decoder: msgspec.json.Decoder[Ended] = msgspec.json.Decoder(Ended)
ENDINGS = frozenset(record.__name__ for record in Ended.__args__)


class Unexpected(Exception):
    """The tour cannot go on."""


class Tour:
    """Tells one story.

    Args:
        server: Serves the first version.
        plugins: The folder of plugins.
        load: Is under way.
        say: Prints a line.
    """

    def __init__(self, server: Server, plugins: Path, load: Load, say: Say) -> None:
        self._server = server
        self._plugins = plugins
        self._load = load
        self._say = say
        self._windows: list[Window] = []
        self._findings: list[Finding] = []

    async def tell(self) -> None:
        """Swap, be refused, roll back."""
        await self._serve_for_a_while("1.0.0")
        await self._hang_up("2.0.0", CutoverCompleted)
        await self._serve_for_a_while("2.0.0")
        await self._hang_up("3.0.0", CutoverAborted)
        await self._serve_for_a_while("2.0.0")
        await self._roll_back()
        await self._serve_for_a_while("1.0.0")

    def result(self) -> Result:
        """What was found; after the load has ended."""
        load = self._load
        return Result(
            tuple(load.samples), tuple(load.failures), load.closes, tuple(self._windows), tuple(self._findings)
        )

    async def _serve_for_a_while(self, version: str) -> None:
        since = time.monotonic()
        await asyncio.sleep(STEADY)
        asked = asked_since(self._load.samples, since)
        answers = {msgspec.json.decode(sample.body)["version"] for sample in asked}
        self._find(f"version {version} answers, and nothing else", answers == {version}, ", ".join(sorted(answers)))
        self._say(f"      {len(asked)} requests answered by {', '.join(sorted(answers))}")

    async def _hang_up(self, version: str, expected: type[Record]) -> None:
        self._say("")
        self._say(f"$ cp prices-{version}.py plugins/prices.py && kill -HUP {self._server.pid}")
        install(version, self._plugins)
        after = await self._server.last_told()
        began = time.monotonic()
        self._server.signal(signal.SIGHUP)
        ending = await asyncio.to_thread(self._follow, after)
        self._close_window(f"{version} by SIGHUP", began, ending)
        self._find(f"SIGHUP with {version} ends as it should", isinstance(ending, expected), type(ending).__name__)

    def _follow(self, after: int) -> Ended:
        progress = Progress("demo")
        for told in self._server.follow(after, OUTCOME):
            self._show(progress, told)
            if told.type in ENDINGS:
                return _decoder.decode(told.record)
        raise Unexpected(f"no outcome; the server's log:\n{self._server.logs}")

    async def _roll_back(self) -> None:
        self._say("")
        self._say("$ changeover rollback")
        progress, after = Progress("demo"), await self._server.last_told()
        began = time.monotonic()
        outcome: Outcome = await self._server.rollback(on_progress=lambda told: self._show(progress, told))
        ended = time.monotonic()
        endings = [told for told in await self._server.told(after) if told.type in ENDINGS]
        ending = _decoder.decode(endings[-1].record) if endings else None
        self._close_window("rollback", began, ending, ended)
        self._find("the rollback is committed", isinstance(outcome, Committed), type(outcome).__name__)

    def _show(self, progress: Progress, told: Told) -> None:
        for line in progress.take(told):
            self._say(line)

    def _close_window(self, title: str, began: float, ending: Ended | None, ended: float | None = None) -> None:
        ended = time.monotonic() if ended is None else ended
        match ending:
            case CutoverCompleted(prepare=prepare, commit=commit, epoch=epoch, workers=workers, missing=missing):
                self._windows.append(Window(title, began, ended, prepare, commit))
                self._say(f"done  epoch {epoch} serves {in_all(workers, map(str, missing))}")
            case CutoverAborted(refusals=refusals, serving=serving):
                self._windows.append(Window(title, began, ended))
                self._say(f"refused: nothing changed, epoch {serving} serves on")
                for refusal in refusals[:1]:
                    for line in refusal_lines(refusal, TRACEBACK):
                        self._say(line)
                self._find("the refusal has the traceback", any("1O0" in r.refusal.traceback for r in refusals), "")
            case _:
                self._windows.append(Window(title, began, ended))

    def _find(self, claim: str, holds: bool, found: str) -> None:
        self._findings.append(Finding(claim, holds, found))


async def tour(folder: Path, say: Say) -> Result:
    """Give the tour.

    Args:
        folder: An empty folder to work in.
        say: Prints a line.

    Raises:
        ServerFailed: The server did not start.
        Unexpected: A signal led to no outcome.
        NoAnswer: The server ended.
    """
    plugins = folder / "plugins"
    await asyncio.to_thread(plugins.mkdir)
    install("1.0.0", plugins)
    say(f"$ changeover run --plugins plugins --workers {WORKERS}")
    async with Server(plugins=plugins, workers=WORKERS, name="demo", arguments=["--epoch-header"]) as server:
        host, _, port = server.addresses[0].rpartition(":")
        say(f"      {WORKERS} workers serve epoch 1 at http://{server.addresses[0]}/; 12 clients ask without pause")
        async with Load(host, int(port)) as load:
            told = Tour(server, plugins, load, say)
            await told.tell()
        return told.result()
