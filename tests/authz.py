"""The authorization example, served, with rules and policies that say which version they are."""

import asyncio
import importlib.util
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from changeover.server import Committed, Milestone, Server
from tests.service import Connection

EXAMPLE = Path(__file__).parents[1] / "examples" / "authz"
VOTE = "principal=User::ann&action=vote&resource=Ballot::now"
"""Allowed where rules and policies are of one version, by the policy of that version."""
SHOW = "principal=User::ann&action=show&resource=Reel::nosferatu"
BEN_SHOWS = "principal=User::ben&action=show&resource=Reel::nosferatu"
BEN_PROJECTS = 'member("User::ben","Group::projection")'


class Decision(msgspec.Struct, frozen=True):
    """What the service answers."""

    allowed: bool
    because: list[str]
    epoch: int
    facts: int


class About(msgspec.Struct, frozen=True):
    """What one worker says of itself."""

    worker: int
    epoch: int
    facts: int
    parts: dict[str, int]
    answers: int


class House:
    """The example's folder, copied.

    Attributes:
        folder: The folder.
        plugin: The plugin's.
        data: What is written.
        runtime: The server's runtime directory.
        state: The server's state directory.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "authz"
        shutil.copytree(EXAMPLE, self.folder, ignore=shutil.ignore_patterns("__pycache__", "data"))
        self.plugin = self.folder / "plugins" / "authz"
        self.data = self.folder / "data"
        self.runtime, self.state = folder / "run", folder / "state"
        configuration = self.folder / "changeover.toml"
        configuration.write_text(configuration.read_text().replace('"data"', json.dumps(str(self.data))))
        self.write(1)

    def server(self, workers: int = 3) -> Server:
        """Serve it; what the server keeps is kept."""
        configuration = self.folder / "changeover.toml"
        return Server(config=configuration, workers=workers, runtime_dir=self.runtime, state_dir=self.state)

    def keep(self, epochs: int) -> None:
        """Have the server keep so many of them."""
        with (self.folder / "changeover.toml").open("a") as configuration:
            configuration.write(f"\n[history]\nkeep = {epochs}\n")

    def write(self, version: int) -> None:
        """Change rules and policies."""
        self.write_rules(version)
        self.write_policies(version)

    def write_rules(self, version: int) -> None:
        self.put("rules/version.lp", f'attribute("User::ann", "rules", {version}).\n')

    def write_policies(self, version: int) -> None:
        policy = 'permit (principal, action == Action::"vote", resource)'
        when = f"principal has rules && principal.rules.contains({version})"
        self.put("policies/version.cedar", f'@id("v{version}")\n{policy}\nwhen {{ {when} }};\n')

    def put(self, file: str, text: str) -> None:
        (self.plugin / file).write_text(text)

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text that must be there."""
        text = (self.plugin / file).read_text()
        assert old in text, f"{file} has no {old!r}"
        self.put(file, text.replace(old, new))


def replaying() -> ModuleType:
    """The example's command `replay.py`, as a module."""
    spec = importlib.util.spec_from_file_location("authz_replay", EXAMPLE / "replay.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def reloaded(server: Server, until: Milestone = Milestone.ACTIVE) -> int:
    outcome = await server.reload(until=until)
    assert isinstance(outcome, Committed), outcome
    return outcome.serving


def path(query: str) -> str:
    return f"/decide?{query}"


async def posted(connection: Connection, target: str, body: object) -> Any:
    """POST JSON; what is answered, which must be a 200."""
    content = msgspec.json.encode(body)
    head = f"POST {target} HTTP/1.1\r\nhost: authz\r\ncontent-length: {len(content)}\r\n\r\n"
    await connection.send(head.encode() + content)
    answer = await connection.answer()
    assert answer.status == 200, answer
    return msgspec.json.decode(answer.body)


async def wrote(server: Server, **change: list[str]) -> int:
    """Write facts; the version that this makes."""
    connection = await Connection.open(server.addresses[0])
    try:
        version: int = (await posted(connection, "/facts", change))["version"]
        return version
    finally:
        connection.close()


async def decided(server: Server, query: str) -> Decision:
    """Ask once, on a connection of its own."""
    connection = await Connection.open(server.addresses[0])
    try:
        return msgspec.json.decode((await connection.get(path(query))).body, type=Decision)
    finally:
        connection.close()


async def by_worker(server: Server, workers: int) -> Mapping[int, About]:
    """What each worker says of itself: new connections are made until all of them have answered."""
    told: dict[int, About] = {}
    connections: list[Connection] = []
    try:
        async with asyncio.timeout(20):
            while len(told) < workers:
                connections.append(await Connection.open(server.addresses[0]))
                about = msgspec.json.decode((await connections[-1].get("/about")).body, type=About)
                told[about.worker] = about
    finally:
        for connection in connections:
            connection.close()
    return told
