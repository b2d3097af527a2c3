"""One thing that a server is offered, and the plugin that some of them pretend to be a new version of."""

from pathlib import Path

import msgspec

HOSTILE = "hostile"
"""Id of plugins that are new."""
VICTIM = "victim"
"""Id of the plugin that serves, which others pretend to be a new version of."""

SERVING = {
    "plugin.toml": b"""id = "victim"
version = "1.0"
plugin = "victim:Victim"
state = ">=1"
[resources]
rules = { path = "rules.txt" }
[services]
greet = { entry = "victim:greet", mount = "/victim" }
""",
    "victim.py": b'''"""Serves, and takes rules as an engine does that executes them."""
from changeover.plugin import Plugin, Request, CallContext, Response, service

class Victim(Plugin):
    def export_state(self):
        return b"state"

    def on_resources(self, changed):
        exec(changed["rules"].text(), {})

@service
async def greet(request: Request, call: CallContext) -> Response:
    return Response.text("still here")
''',
    "rules.txt": b"pass\n",
}
"""The victim as it serves."""


class Offer(msgspec.Struct, frozen=True):
    """A plugin that has to be refused.

    Attributes:
        kind: What it does, for people.
        place: Where it does it, for people.
        plugin: Its folder's name.
        files: Name -> content.
        runs: Whether its code has to run before anybody can know.
    """

    kind: str
    place: str
    plugin: str
    files: dict[str, bytes]
    runs: bool = True

    @property
    def name(self) -> str:
        """What it is, for people."""
        return f"{self.kind}, {self.place}"


def put(folder: Path, plugin: str, files: dict[str, bytes]) -> None:
    """Let a plugin's folder have these files and no others."""
    home = folder / plugin
    home.mkdir(exist_ok=True)
    for file in home.iterdir():
        if file.name not in files:
            file.unlink()
    for name, content in files.items():
        (home / name).write_bytes(content)


def take_back(folder: Path, offer: Offer) -> None:
    """Let the folder of plugins be as it was before an offer."""
    if offer.plugin == VICTIM:
        put(folder, VICTIM, SERVING)
        return
    put(folder, offer.plugin, {})
    (folder / offer.plugin).rmdir()
