"""Which server a command talks to."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from changeover.supervisor.api.client import SOCKET_NAME, Client, NoAnswer
from changeover.supervisor.cli.exits import Exit, Failure
from changeover.supervisor.config.paths import default_name, private, runtime_root
from changeover.supervisor.process.holders import has_socket
from changeover.workers.protocol import toml

F = TypeVar("F", bound=Callable[..., Any])

CONFIG_VARIABLE = "CHANGEOVER_CONFIG"
CONFIG_FILE = "changeover.toml"


class Choice(msgspec.Struct, frozen=True):
    """What the user said of the server.

    Attributes:
        name: Its name, empty when not said.
        runtime_dir: Its runtime directory, empty when not said.
        said_by: The flag, variable or file that said so.
    """

    name: str = ""
    runtime_dir: str = ""
    said_by: str = ""


def server_options(command: F) -> F:
    """Add `--name` and `--runtime-dir` to a command; it takes `name` and `runtime_dir`."""
    name = click.option("-n", "--name", default="", metavar="NAME", help="The server's name.")
    folder = click.option("--runtime-dir", default="", metavar="DIR", help="The server's runtime directory.")
    return name(folder(command))


def server(name: str, runtime_dir: str) -> Client:
    """Find the server: by what was said here, in CHANGEOVER_*, in changeover.toml, by the folder; else the only one.

    One that is not called like the current folder is named: it may be meant, and it may be somebody else's.

    Raises:
        Failure: None lives (exit 5), or several do and none was named (exit 2).
    """
    environment, uid = os.environ, os.getuid()
    choice = _chosen(Choice(name, runtime_dir, "the command line"), environment, Path.cwd())
    if choice.runtime_dir:
        return _living_or_fail(Path(choice.runtime_dir), choice, environment, uid)
    if choice.name:
        folders = [home / choice.name for home in homes(environment, uid)]
        return _living_or_fail(next(filter(_lives, folders), folders[0]), choice, environment, uid)
    living = list(_living(environment, uid))
    if not living:
        places = _listed(homes(environment, uid))
        raise Failure(f"no server lives in {places}{_start(_runtimes(environment, uid))}", Exit.NO_SERVER)
    own = default_name(Path.cwd())
    if here := [folder for folder in living if folder.name == own]:
        return Client(here[0] / SOCKET_NAME)
    if len(living) > 1:
        names = ", ".join(folder.name for folder in living)
        raise Failure(f"several servers live: {names}; name one with --name", Exit.USAGE)
    click.echo(f"asking {living[0].name}, the only server that lives: nothing here names one", err=True)
    return Client(living[0] / SOCKET_NAME)


def homes(environment: Mapping[str, str], uid: int) -> tuple[Path, ...]:
    """Folders in which a user's runtime directories may be.

    A server started by cron or a unit of the system has no XDG_RUNTIME_DIR where the user's shell has one.
    """
    folders = (runtime_root(environment, uid), runtime_root({}, uid), private(uid))
    return tuple(dict.fromkeys(folders))


def _chosen(said: Choice, environment: Mapping[str, str], folder: Path) -> Choice:
    if said.name or said.runtime_dir:
        return said
    name, runtime = environment.get("CHANGEOVER_NAME", ""), environment.get("CHANGEOVER_RUNTIME_DIR", "")
    if name or runtime:
        return Choice(name, runtime, "CHANGEOVER_RUNTIME_DIR" if runtime else "CHANGEOVER_NAME")
    file = folder / environment.get(CONFIG_VARIABLE, CONFIG_FILE)
    return _in_file(file) if file.is_file() else Choice()


def _in_file(file: Path) -> Choice:
    """Read only what is needed: whoever is in the middle of editing the file can still ask for the status."""
    try:
        table = toml.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        table = {}
    name, runtime = table.get("name"), table.get("runtime_dir")
    folder = str(file.absolute().parent / runtime) if isinstance(runtime, str) and runtime else ""
    return Choice(name if isinstance(name, str) and name else default_name(file.absolute().parent), folder, str(file))


def _living_or_fail(runtime: Path, choice: Choice, environment: Mapping[str, str], uid: int) -> Client:
    if _lives(runtime):
        return Client(runtime / SOCKET_NAME)
    others = ", ".join(sorted(folder.name for folder in _living(environment, uid)))
    hint = f"; these live: {others}" if others and not _serve_on(runtime) else _start((runtime,))
    raise Failure(f"no server lives in {runtime} (named by {choice.said_by}){hint}", Exit.NO_SERVER)


def _living(environment: Mapping[str, str], uid: int) -> Iterator[Path]:
    return filter(_lives, _runtimes(environment, uid))


def _runtimes(environment: Mapping[str, str], uid: int) -> Iterator[Path]:
    for home in homes(environment, uid):
        if home.is_dir():
            yield from sorted(home.iterdir())


def _start(runtimes: Iterable[Path]) -> str:
    """What to do where no server lives."""
    if orphaned := [runtime.name for runtime in runtimes if _serve_on(runtime)]:
        names = ", ".join(orphaned)
        return f"; workers of {names} serve on without one: start it again with `changeover run`, which adopts them"
    return "; start one with `changeover run`"


def _serve_on(runtime: Path) -> bool:
    """Whether somebody in there lives whose supervisor died."""
    return any(map(has_socket, runtime.glob("worker-*.sock")))


def _lives(runtime: Path) -> bool:
    try:
        Client(runtime / SOCKET_NAME).raw("GET", "/v1/live")
    except NoAnswer:
        return False
    return True


def _listed(folders: tuple[Path, ...]) -> str:
    return " or ".join(str(folder) for folder in folders)
