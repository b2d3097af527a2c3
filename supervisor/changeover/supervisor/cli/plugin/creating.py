"""`changeover plugin new`."""

import keyword
import re
from pathlib import Path

import click

from changeover.supervisor.cli.exits import Exit, Failure
from changeover.workers.plugins.manifest import MANIFEST, RESERVED

HELP = """Write a plugin that serves, to begin with: a single file with one service, at /NAME.

With --class it is a folder: a manifest, and a module with a class that has a configuration, a hook and a handler.
Nothing that exists is written over. `changeover plugin check` checks it.

Exit status: 0 written; 1 something is there; 2 usage.
"""

NAME = re.compile(r"[a-z][a-z0-9_-]*")

OURS = "changeover"
"""What every plugin imports."""
IMPORTED = (OURS, "msgspec")
"""What one with a configuration imports."""

SINGLE = '''# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "{id}"
# version = "0.1.0"
# api = ">=1,<2"
# services = {{ {name} = {{ mount = "/{id}" }} }}
# ///
"""Answers requests to /{id}."""

from changeover.plugin import CallContext, Request, Response, service


@service
async def {name}(request: Request, call: CallContext) -> Response:
    return Response.text(f"{id} of epoch {{call.epoch}}\\n")
'''

TOML = """id = "{id}"
version = "0.1.0"
api = ">=1,<2"
plugin = "{name}:{type}"
config = "{name}:Config"

[handlers]
stamp = "outbound"

[services]
answer = "/{id}"
"""

MODULE = '''"""Answers requests to /{id}, and stamps what it answers."""

import msgspec

from changeover.plugin import CallContext, LoadContext, Plugin, Request, Response, outbound, service


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `[plugins.{id}] config` may say."""

    greeting: str = "hello"


class {type}(Plugin[Config]):
    """Read files and open connections in `on_load`: an error there refuses the reload."""

    async def on_load(self, ctx: LoadContext) -> None:
        self.line = f"{{self.config.greeting}} from {id}\\n"

    @service
    async def answer(self, request: Request, call: CallContext) -> Response:
        return Response.text(self.line)

    @outbound
    def stamp(self, request: Request, response: Response, call: CallContext) -> None:
        response.headers["x-{id}-epoch"] = str(call.epoch)
'''


@click.command("new", help=HELP, short_help="Write a plugin that serves, to begin with.")
@click.argument("name")
@click.option("--class", "with_class", is_flag=True, help="A folder with a class, a configuration and a handler.")
@click.option(
    "--dir",
    "folder",
    default="plugins",
    show_default=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of plugins; made where it is not there.",
)
def command(name: str, with_class: bool, folder: Path) -> None:
    """See HELP."""
    if reason := _mistake(name, with_class):
        raise Failure(f"{name!r} {reason}", Exit.USAGE)
    files = _folder(name) if with_class else _file(name)
    for path in (folder / name, folder / f"{_module(name)}.py"):
        if path.exists() or path.is_symlink():
            raise Failure(f"{path} is there already; nothing was written", Exit.REFUSED)
    try:
        for file, text in files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(f"{error.filename or folder}: cannot be written: {error.strerror}", Exit.REFUSED) from error
    made = folder / (name if with_class else next(iter(files)))
    click.echo(f"wrote {', '.join(str(folder / file) for file in files)}")
    click.echo(f"next: changeover plugin check {made}")
    click.echo(f"      changeover run --plugins {folder}, and ask for /{name}")


def _mistake(name: str, with_class: bool) -> str:
    if not NAME.fullmatch(name):
        return "is no id: lower case letters, digits, - and _, a letter first"
    if name in RESERVED:
        return "is no id: the configuration uses it for something else"
    if keyword.iskeyword(name):
        return "is a word of Python's own, and cannot name a module"
    hidden = "its own module would be found first"
    return f"is what the plugin has to import, and {hidden}" if name in (IMPORTED if with_class else (OURS,)) else ""


def _file(name: str) -> dict[str, str]:
    return {f"{_module(name)}.py": SINGLE.format(id=name, name=_module(name))}


def _folder(name: str) -> dict[str, str]:
    module = _module(name)
    words = {"id": name, "name": module, "type": "".join(word.capitalize() for word in module.split("_"))}
    return {f"{name}/{MANIFEST}": TOML.format(**words), f"{name}/{module}.py": MODULE.format(**words)}


def _module(name: str) -> str:
    return name.replace("-", "_")
